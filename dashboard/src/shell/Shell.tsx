import {
  Button, Divider, Dropdown, DropdownItem, DropdownList, Masthead, MastheadBrand, MastheadContent, MastheadLogo, MastheadMain,
  MastheadToggle, MenuToggle, Modal, ModalBody, ModalHeader, Nav, NavGroup, NavItem, Page, PageSidebar, PageSidebarBody,
  PageToggleButton, SearchInput, SkipToContent, Toolbar, ToolbarContent, ToolbarGroup, ToolbarItem, Tooltip,
} from "@patternfly/react-core";
import { BarsIcon, MoonIcon, ProjectDiagramIcon, SunIcon, UserIcon } from "@patternfly/react-icons";
import { lazy, Suspense, useEffect, useState } from "react";
import { Link, Outlet, useLocation, useNavigate } from "react-router";
import { has } from "../api/catalog";
import { useLive } from "../api/live";
import { queries } from "../api/queries";
import { isAdmin, logOut, type Session, switchProject, useSessionState } from "../api/session";
import { t } from "../language";
import { Questions } from "../parts/dialog";
import { focusContent } from "../parts/focus";
import { Loading } from "../parts/Loading";
import { perform, Works } from "../parts/work";
import { Login, LoginForm } from "./Login";
import { fetchAhead } from "./page";
import { useTheme } from "./theme";

const ChangePassword = lazy(() => import("./ChangePassword").then((module) => ({ default: module.ChangePassword })));

interface Place { to: string; title: string; shown?: (session: Session) => boolean }

function places(): { title: string; places: Place[]; shown?: (session: Session) => boolean }[] {
  const compute = (s: Session) => has(s.catalog, "compute");
  const network = (s: Session) => has(s.catalog, "network");
  return [
    { title: t("Project"), places: [
      { to: "/", title: t("Overview") },
      { to: "/servers", title: t("Servers"), shown: compute },
      { to: "/volumes", title: t("Volumes"), shown: (s) => has(s.catalog, "volume") },
      { to: "/images", title: t("Images"), shown: (s) => has(s.catalog, "image") },
      { to: "/server-groups", title: t("Server groups"), shown: compute },
      { to: "/key-pairs", title: t("Key pairs"), shown: compute },
    ] },
    { title: t("Network"), shown: network, places: [
      { to: "/topology", title: t("Topology") },
      { to: "/networks", title: t("Networks") },
      { to: "/routers", title: t("Routers") },
      { to: "/floating-ips", title: t("Floating IPs") },
      { to: "/security-groups", title: t("Security groups") },
      { to: "/load-balancers", title: t("Load balancers"), shown: (s) => has(s.catalog, "balancer") },
    ] },
    { title: t("Access"), places: [{ to: "/access", title: t("API access") }] },
    { title: t("Administration"), shown: isAdmin, places: [
      { to: "/admin/cluster", title: t("Cluster"), shown: compute },
      { to: "/admin/hosts", title: t("Hosts and services"), shown: compute },
      { to: "/admin/machines", title: t("Machines"), shown: (s) => has(s.catalog, "stackling") },
      { to: "/admin/storage", title: t("Storage"), shown: (s) => has(s.catalog, "volume") },
      { to: "/admin/aggregates", title: t("Aggregates"), shown: compute },
      { to: "/admin/refusals", title: t("Refusals"), shown: compute },
      { to: "/admin/audit", title: t("Audit"), shown: (s) => has(s.catalog, "stackling") },
      { to: "/admin/flavors", title: t("Flavors"), shown: compute },
      { to: "/admin/projects", title: t("Projects") },
      { to: "/admin/users", title: t("Users") },
      { to: "/admin/settings", title: t("Settings"), shown: (s) => has(s.catalog, "stackling") },
    ] },
  ];
}

function Navigation({ session }: { session: Session }) {
  const { pathname } = useLocation();
  // in braces: newer browsers give a promise, which React would take for the effect's end
  useEffect(() => { void document.querySelector(".pf-v6-c-nav [aria-current=page]")?.scrollIntoView({ block: "nearest" }); }, [pathname]);
  const active = (to: string) => (to === "/" ? pathname === "/" : pathname === to || pathname.startsWith(`${to}/`));
  return (
    <Nav aria-label={t("Pages")}>
      {places().filter((group) => group.shown?.(session) ?? true).map((group) => (
        <NavGroup key={group.title} title={group.title}>
          {group.places.filter((place) => place.shown?.(session) ?? true).map((place) => (
            <NavItem key={place.to} isActive={active(place.to)}>
              <Link to={place.to} aria-current={active(place.to) ? "page" : undefined}>{place.title}</Link>
            </NavItem>
          ))}
        </NavGroup>
      ))}
    </Nav>
  );
}

function ProjectSwitcher({ session }: { session: Session }) {
  const [open, setOpen] = useState(false);
  const [search, setSearch] = useState("");
  const navigate = useNavigate();
  const { pathname } = useLocation();
  async function choose(id: string): Promise<void> {
    setOpen(false);
    if (id === session.project.id) return;
    await perform(t("Switch the project"), async () => {
      await switchProject(id);
      queries.clear();
      const list = pathname.split("/").slice(0, pathname.startsWith("/admin/") ? 3 : 2).join("/");
      await navigate(list || "/");
    });
  }
  const found = session.projects.filter((project) => project.name.toLowerCase().includes(search.toLowerCase()));
  return (
    <Dropdown isOpen={open} onOpenChange={setOpen} shouldFocusFirstItemOnOpen isScrollable
      toggle={(ref) => (
        <MenuToggle ref={ref} isExpanded={open} onClick={() => setOpen(!open)} icon={<ProjectDiagramIcon />}
          aria-label={t("Project: {{name}}", { name: session.project.name })}>
          {session.project.name}
        </MenuToggle>
      )}>
      {session.projects.length > 8 && (
        <SearchInput aria-label={t("Search projects")} value={search} onChange={(_event, value) => setSearch(value)} onClear={() => setSearch("")} />
      )}
      <DropdownList>
        {found.map((project) => (
          <DropdownItem key={project.id} isSelected={project.id === session.project.id} onClick={() => void choose(project.id)}>
            {project.name}
          </DropdownItem>
        ))}
      </DropdownList>
    </Dropdown>
  );
}

function UserMenu({ session, changePassword }: { session: Session; changePassword: () => void }) {
  const [open, setOpen] = useState(false);
  return (
    <Dropdown isOpen={open} onOpenChange={setOpen} shouldFocusFirstItemOnOpen popperProps={{ position: "right" }}
      toggle={(ref) => (
        <MenuToggle ref={ref} isExpanded={open} variant="plainText" icon={<UserIcon />} onClick={() => setOpen(!open)}
          aria-label={t("User: {{name}}", { name: session.user.name })}>
          {session.user.name}
        </MenuToggle>
      )}>
      <DropdownList>
        <DropdownItem isDisabled description={session.roles.join(", ")}>{t("Roles in this project")}</DropdownItem>
        <Divider component="li" />
        <DropdownItem onClick={() => { setOpen(false); changePassword(); }}>{t("Change your password")}</DropdownItem>
        <DropdownItem onClick={() => { queries.clear(); logOut(); }}>{t("Log out")}</DropdownItem>
      </DropdownList>
    </Dropdown>
  );
}

function Brand() {
  return <Link to="/" className="st-brand"><img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" />Stackling</Link>;
}

function ThemeButton() {
  const [dark, setDark] = useTheme();
  const label = dark ? t("Light colours") : t("Dark colours");
  return (
    <Tooltip content={label}>
      <Button variant="plain" aria-label={label} icon={dark ? <SunIcon /> : <MoonIcon />} onClick={() => setDark(!dark)} />
    </Tooltip>
  );
}

/** Everything around a page, for who is logged in; the login otherwise, and the page again after it. */
export function Shell() {
  const { session, ended } = useSessionState();
  const { pathname } = useLocation();
  const token = session?.token;
  const [changing, setChanging] = useState(false);
  useLive();
  useEffect(() => {
    document.getElementById("main")?.scrollTo(0, 0);
  }, [pathname]);
  useEffect(() => {
    if (token) focusContent();
  }, [pathname, token]);
  useEffect(() => {
    if (token) void queries.invalidateQueries();
  }, [token]);
  useEffect(() => (token ? fetchAhead() : undefined), [token]);
  if (!session) return <><Login /><Works /></>;
  const masthead = (
    <Masthead>
      <MastheadMain>
        <MastheadToggle><PageToggleButton variant="plain" aria-label={t("Pages")}><BarsIcon /></PageToggleButton></MastheadToggle>
        <MastheadBrand>
          <MastheadLogo component={Brand} />
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <Toolbar isStatic>
          <ToolbarContent>
            <ToolbarItem><ProjectSwitcher session={session} /></ToolbarItem>
            <ToolbarGroup align={{ default: "alignEnd" }} variant="action-group-plain">
              <ToolbarItem><ThemeButton /></ToolbarItem>
              <ToolbarItem><UserMenu session={session} changePassword={() => setChanging(true)} /></ToolbarItem>
            </ToolbarGroup>
          </ToolbarContent>
        </Toolbar>
      </MastheadContent>
    </Masthead>
  );
  return (
    <Page masthead={masthead} isManagedSidebar mainContainerId="main"
      skipToContent={<SkipToContent href="#main">{t("Skip to the content")}</SkipToContent>}
      sidebar={<PageSidebar><PageSidebarBody><Navigation session={session} /></PageSidebarBody></PageSidebar>}>
      <Suspense key={session.project.id} fallback={<Loading />}><Outlet /></Suspense>
      <Works />
      <Questions />
      {changing && <Suspense><ChangePassword close={() => setChanging(false)} /></Suspense>}
      {ended && (
        <Modal isOpen variant="small" aria-labelledby="ended" disableFocusTrap={false}>
          <ModalHeader labelId="ended" title={t("Your session has ended")}
            description={t("Log in again as {{name}} to go on; this page stays as it is.", { name: session.user.name })} />
          <ModalBody><LoginForm user={session.user.name} /><br /><Button variant="link" isInline onClick={logOut}>{t("Leave instead")}</Button></ModalBody>
        </Modal>
      )}
    </Page>
  );
}

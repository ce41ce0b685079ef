import { ActionGroup, Button, Checkbox, ExpandableSection, Form, FormFieldGroup, FormFieldGroupHeader, FormGroup } from "@patternfly/react-core";
import { CubeIcon, ImageIcon, ServerIcon } from "@patternfly/react-icons";
import { type FormEvent, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { has } from "../api/catalog";
import { compute } from "../api/http";
import { useFlavors, useImages, useKeyPairs, useNetworks, useSecurityGroups, useServerGroups, useVolumes } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Server } from "../api/types";
import { t } from "../language";
import { give } from "../network/PublicAddress";
import { makeNetwork } from "../network/work";
import { ChoiceField, TextAreaField, TextField } from "../parts/fields";
import { memory } from "../parts/format";
import { LinkButton } from "../parts/LinkButton";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { perform, refresh } from "../parts/work";
import { sizeError, smallest } from "../volumes/sizes";
import { nameOf } from "../volumes/work";
import { body, defaultFlavor, defaultKeyPair, defaultNetwork, type Disk, fits } from "./launch";
import { policies } from "./ServerGroupsPage";
import { STALE } from "./work";

const LAST_KEY = "stackling.key-pair";
const NEW = "new";

/** Three fields and a button: a name, an image, a size. The rest has defaults, said in a sentence and changed under "More". */
export function LaunchPage() {
  const session = useSession();
  const navigate = useNavigate();
  const images = useImages();
  const flavors = useFlavors();
  const networks = useNetworks();
  const keyPairs = useKeyPairs();
  const groups = useSecurityGroups();
  const [name, setName] = useState("");
  const [imageChosen, setImage] = useState("");
  const [flavorChosen, setFlavor] = useState("");
  const [params] = useSearchParams();
  const [networkChosen, setNetwork] = useState(params.get("network") ?? "");
  const [keyChosen, setKey] = useState<string | null>(null);
  const [groupsChosen, setGroups] = useState<string[]>(["default"]);
  const [userData, setUserData] = useState("");
  const [count, setCount] = useState("1");
  const together = useServerGroups();
  const [group, setGroup] = useState("");
  const withVolumes = has(session.catalog, "volume");
  const volumes = useVolumes(withVolumes);
  const [diskChosen, setDisk] = useState("host");
  const [diskSize, setDiskSize] = useState("");
  const [description, setDescription] = useState("");
  const [publicAddress, setPublic] = useState(true);
  const [more, setMore] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  const parents = [{ title: t("Servers"), to: "/servers" }];
  const title = t("Launch a server");
  const failed = [images, flavors, networks, keyPairs, groups].find((query) => query.error && !query.data);
  if (failed) return <Page title={title} parents={parents}><Problem error={failed.error} retry={() => void failed.refetch()} /></Page>;
  if (!images.data || !flavors.data || !networks.data || !keyPairs.data || !groups.data) return <Page title={title} parents={parents}><Loading /></Page>;
  if (!mayWrite(session)) {
    return <Page title={title} parents={parents}><Nothing icon={ServerIcon} title={t("Not for readers")} body={t("Your role in this project lets you look; a member of the project can launch a server.")} action={<Link to="/servers">{t("To the servers")}</Link>} /></Page>;
  }
  const usable = images.data.filter((found) => found.status === "active");
  const image = usable.find((found) => found.id === imageChosen) ?? usable[0];
  const flavor = flavors.data.find((found) => found.id === flavorChosen) ?? defaultFlavor(flavors.data, image);
  const inner = networks.data.filter((found) => !found["router:external"] && found.subnets.length > 0);
  const chosenNetwork = networkChosen === NEW ? undefined : inner.find((found) => found.id === networkChosen) ?? defaultNetwork(networks.data, session.project.id);
  const keyPair = keyChosen ?? defaultKeyPair(keyPairs.data, localStorage.getItem(LAST_KEY))?.name ?? "";
  const number = Math.max(1, Math.min(100, Number(count) || 1));
  const external = networks.data.find((found) => found["router:external"]);
  const startable = (volumes.data ?? []).filter((found) => found.bootable === "true" && found.status === "available");
  const least = smallest(image, undefined);
  const size = diskSize || String(Math.max(least, flavor?.disk ?? 0, 1));
  const sizeWrong = diskChosen.startsWith("new") ? sizeError(size, least) : null;
  const disk: Disk = diskChosen.startsWith("volume:") ? { kind: "volume", id: diskChosen.slice(7) } : diskChosen === "host" ? { kind: "host" } : { kind: "new", size: Number(size), keep: diskChosen === "new-keep" };
  const tooSmall = flavor && !fits(flavor, image);
  if (!image || !flavor) {
    return (
      <Page title={title} parents={parents}>
        {image ? <Nothing icon={CubeIcon} title={t("There is no flavor yet")} body={t("A flavor is a size that servers come in. An administrator has to make one.")} />
          : <Nothing icon={ImageIcon} title={t("There is no image to start from yet")} body={t("A server's disk starts with an image: a distribution's cloud image, which is uploaded once.")} action={<LinkButton to="/images">{t("To the images")}</LinkButton>} />}
      </Page>
    );
  }

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    if (!image || !flavor || !name.trim()) return;
    setBusy(true);
    setError(null);
    try {
      const net = chosenNetwork?.id ?? (await makeNetwork("network", "10.0.0.0/24", external)).id;
      const wish = { name, image: image.id, flavor: flavor.id, network: net, keyPair, groups: groupsChosen, userData, count: number, description, together: group, disk };
      const made = await compute.post<{ server: { id: string } }>("/servers", body(wish, net));
      if (keyPair) localStorage.setItem(LAST_KEY, keyPair);
      refresh([...STALE, "server-groups"]);
      follow(made.server.id, name.trim(), publicAddress && external !== undefined && number === 1);
      await navigate(number === 1 ? `/servers/${made.server.id}` : "/servers");
    } catch (found) {
      setError(found);
      setBusy(false);
    }
  }

  const summary = [
    chosenNetwork ? t("On network {{name}}", { name: chosenNetwork.name }) : t("On a new network"),
    keyPair ? t("with key pair {{name}}", { name: keyPair }) : t("without a key pair"),
    groupsChosen.length > 0 ? t("behind security group {{names}}", { names: groupsChosen.join(", ") }) : t("without a security group"),
    publicAddress && external && number === 1 ? t("with a public address") : t("without a public address"),
  ].join(", ");
  return (
    <Page title={title} parents={parents}>
      <Form className="st-form" onSubmit={(event) => void submit(event)}>
        {error !== null && <Problem error={error} title={t("The server wasn't launched")} />}
        <TextField label={t("Name")} value={name} set={setName} required autoFocus placeholder={t("web")} />
        <ChoiceField label={t("Image")} value={image.id} set={setImage} help={t("What its disk starts with.")}
          options={usable.map((found) => ({ value: found.id, label: found.name ?? found.id }))} />
        <ChoiceField label={t("Size")} value={flavor.id} set={setFlavor}
          error={tooSmall ? t("The image needs at least {{memory}} of memory and {{disk}} GiB of disk.", { memory: memory(image.min_ram), disk: image.min_disk }) : undefined}
          options={flavors.data.map((f) => ({ value: f.id, label: t("{{name}}: {{vcpus}} vCPU, {{memory}}, {{disk}} GiB disk", { name: f.name, vcpus: f.vcpus, memory: memory(f.ram), disk: f.disk }) }))} />
        <div className="st-muted">{summary}.{!keyPair && <> <Link to="/key-pairs">{t("Make a key pair to log in with.")}</Link></>}</div>
        <ExpandableSection toggleText={more ? t("Less") : t("More: network, key pair, rules, disk, user data")} isExpanded={more} onToggle={(_event, open) => setMore(open)}>
          <FormFieldGroup header={<FormFieldGroupHeader titleText={{ id: "more-network", text: t("Network") }} />}>
            <ChoiceField label={t("Network")} value={chosenNetwork?.id ?? NEW} set={setNetwork}
              options={[...inner.map((found) => ({ value: found.id, label: found.name })), { value: NEW, label: external ? t("A new network (10.0.0.0/24 with a router)") : t("A new network (10.0.0.0/24)") }]} />
            <Checkbox id="public" label={t("Give it a public address")} isChecked={publicAddress && external !== undefined && number === 1} isDisabled={!external || number > 1}
              description={external ? undefined : t("This cloud has no external network.")} onChange={(_event, on) => setPublic(on)} />
          </FormFieldGroup>
          <FormFieldGroup header={<FormFieldGroupHeader titleText={{ id: "more-access", text: t("Access") }} />}>
            <ChoiceField label={t("Key pair")} value={keyPair} set={setKey} help={t("Its public key is put into the server, so that you can log in by SSH.")}
              options={[{ value: "", label: t("None") }, ...keyPairs.data.map((pair) => ({ value: pair.name, label: pair.name }))]} />
            <FormGroup role="group" label={t("Security groups")}>
              {groups.data.map((group) => (
                <Checkbox key={group.id} id={`group-${group.id}`} label={group.name} description={group.description || undefined} isChecked={groupsChosen.includes(group.name)}
                  onChange={(_event, on) => setGroups(on ? [...groupsChosen, group.name] : groupsChosen.filter((found) => found !== group.name))} />
              ))}
            </FormGroup>
          </FormFieldGroup>
          {withVolumes && (
            <FormFieldGroup header={<FormFieldGroupHeader titleText={{ id: "more-disk", text: t("Disk") }} />}>
              <ChoiceField label={t("Its disk is")} value={diskChosen} set={setDisk} help={t("A volume outlives its host, and the server too where it is kept.")}
                options={[{ value: "host", label: t("on its host, and goes with the server") }, { value: "new", label: t("a new volume, deleted with the server") }, { value: "new-keep", label: t("a new volume, which is kept") },
                  ...startable.map((found) => ({ value: `volume:${found.id}`, label: t("volume {{name}} ({{size}} GiB) instead of an image", { name: nameOf(found), size: found.size }), disabled: number > 1 }))]} />
              {diskChosen.startsWith("new") && <TextField label={t("Size of the volume (GiB)")} type="number" value={size} set={setDiskSize} error={sizeWrong ?? undefined} />}
            </FormFieldGroup>
          )}
          <FormFieldGroup header={<FormFieldGroupHeader titleText={{ id: "more-start", text: t("First start") }} />}>
            <TextAreaField label={t("User data")} value={userData} set={setUserData} help={t("A script (#!/bin/sh) or cloud-init's #cloud-config, run at the first start.")} />
            <TextField label={t("How many")} type="number" value={count} set={setCount} help={t("More than one get numbers after their name.")} />
            <TextField label={t("Description")} value={description} set={setDescription} />
            {(together.data?.length ?? 0) > 0 && (
              <ChoiceField label={t("Server group")} value={group} set={setGroup} help={group ? t("Its servers run {{where}}.", { where: policies()[together.data?.find((one) => one.id === group)?.policy ?? ""] ?? "" }) : undefined}
                options={[{ value: "", label: t("None") }, ...(together.data ?? []).map((one) => ({ value: one.id, label: one.name }))]} />
            )}
          </FormFieldGroup>
        </ExpandableSection>
        <ActionGroup>
          <Button type="submit" isLoading={busy} isDisabled={busy || !name.trim() || tooSmall || sizeWrong !== null}>{number > 1 ? t("Launch {{number}} servers", { number }) : t("Launch")}</Button>
          <LinkButton variant="link" to="/servers">{t("Cancel")}</LinkButton>
        </ActionGroup>
      </Form>
    </Page>
  );
}

/** Show how the build goes, and give the address as soon as the server has a port for it. */
function follow(id: string, name: string, withAddress: boolean): void {
  void perform(t("Launch {{name}}", { name }), async (tell) => {
    for (let round = 0; round < 200; round++) {
      const { server } = await compute.get<{ server: Server }>(`/servers/${id}`);
      if (server.status === "ERROR") throw new Error(server.fault?.message ?? t("The server has failed."));
      if (server.status === "ACTIVE") {
        if (withAddress) void give(server);
        return;
      }
      tell(server["OS-EXT-STS:task_state"] ?? server.status.toLowerCase(), Math.min(0.9, 0.1 + round * 0.05));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }, STALE);
}

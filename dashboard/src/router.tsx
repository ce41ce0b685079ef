import { createBrowserRouter } from "react-router";
import { Failure, ForAdministrators, Missing } from "./shell/Failure";
import { page } from "./shell/page";
import { Shell } from "./shell/Shell";

const Overview = page(() => import("./overview/OverviewPage"), "OverviewPage");
const Servers = page(() => import("./servers/ServersPage"), "ServersPage");
const Launch = page(() => import("./servers/LaunchPage"), "LaunchPage");
const Server = page(() => import("./servers/ServerPage"), "ServerPage");
const Volumes = page(() => import("./volumes/VolumesPage"), "VolumesPage");
const Volume = page(() => import("./volumes/VolumePage"), "VolumePage");
const Images = page(() => import("./images/ImagesPage"), "ImagesPage");
const KeyPairs = page(() => import("./keypairs/KeyPairsPage"), "KeyPairsPage");
const Networks = page(() => import("./network/NetworksPage"), "NetworksPage");
const Network = page(() => import("./network/NetworkPage"), "NetworkPage");
const Routers = page(() => import("./network/RoutersPage"), "RoutersPage");
const FloatingIps = page(() => import("./network/FloatingIpsPage"), "FloatingIpsPage");
const SecurityGroups = page(() => import("./network/SecurityGroupsPage"), "SecurityGroupsPage");
const SecurityGroup = page(() => import("./network/SecurityGroupPage"), "SecurityGroupPage");
const Balancers = page(() => import("./balancers/BalancersPage"), "BalancersPage");
const Balancer = page(() => import("./balancers/BalancerPage"), "BalancerPage");
const ServerGroups = page(() => import("./servers/ServerGroupsPage"), "ServerGroupsPage");
const Topology = page(() => import("./topology/TopologyPage"), "TopologyPage", false);
const Access = page(() => import("./overview/AccessPage"), "AccessPage");
const Cluster = page(() => import("./admin/ClusterPage"), "ClusterPage");
const Hosts = page(() => import("./admin/HostsPage"), "HostsPage");
const Machines = page(() => import("./admin/MachinesPage"), "MachinesPage");
const Machine = page(() => import("./admin/MachinePage"), "MachinePage");
const Host = page(() => import("./admin/HostPage"), "HostPage");
const Storage = page(() => import("./admin/StoragePage"), "StoragePage");
const Aggregates = page(() => import("./admin/AggregatesPage"), "AggregatesPage");
const Refusals = page(() => import("./admin/RefusalsPage"), "RefusalsPage");
const Flavors = page(() => import("./admin/FlavorsPage"), "FlavorsPage");
const Projects = page(() => import("./admin/ProjectsPage"), "ProjectsPage");
const Audit = page(() => import("./admin/AuditPage"), "AuditPage");
const Settings = page(() => import("./admin/SettingsPage"), "SettingsPage");
const Users = page(() => import("./admin/UsersPage"), "UsersPage");

export const router = createBrowserRouter([
  {
    element: <Shell />,
    errorElement: <Failure />,
    children: [
      {
        errorElement: <Failure />,
        children: [
          { path: "/", element: <Overview /> },
          { path: "/servers", element: <Servers /> },
          { path: "/servers/launch", element: <Launch /> },
          { path: "/servers/:id", element: <Server /> },
          { path: "/volumes", element: <Volumes /> },
          { path: "/volumes/:id", element: <Volume /> },
          { path: "/images", element: <Images /> },
          { path: "/key-pairs", element: <KeyPairs /> },
          { path: "/networks", element: <Networks /> },
          { path: "/networks/:id", element: <Network /> },
          { path: "/routers", element: <Routers /> },
          { path: "/floating-ips", element: <FloatingIps /> },
          { path: "/security-groups", element: <SecurityGroups /> },
          { path: "/security-groups/:id", element: <SecurityGroup /> },
          { path: "/load-balancers", element: <Balancers /> },
          { path: "/load-balancers/:id", element: <Balancer /> },
          { path: "/server-groups", element: <ServerGroups /> },
          { path: "/topology", element: <Topology /> },
          { path: "/access", element: <Access /> },
          { element: <ForAdministrators />, children: [
            { path: "/admin/cluster", element: <Cluster /> },
            { path: "/admin/hosts", element: <Hosts /> },
            { path: "/admin/machines", element: <Machines /> },
            { path: "/admin/machines/:name", element: <Machine /> },
            { path: "/admin/hosts/:name", element: <Host /> },
            { path: "/admin/storage", element: <Storage /> },
            { path: "/admin/aggregates", element: <Aggregates /> },
            { path: "/admin/refusals", element: <Refusals /> },
            { path: "/admin/flavors", element: <Flavors /> },
            { path: "/admin/projects", element: <Projects /> },
            { path: "/admin/users", element: <Users /> },
            { path: "/admin/audit", element: <Audit /> },
            { path: "/admin/settings", element: <Settings /> },
          ] },
          { path: "*", element: <Missing /> },
        ],
      },
    ],
  },
], { basename: "/dashboard" });

import { endpointOf } from "../api/catalog";
import type { Session } from "../api/session";

/** Files that let other clients into this project. None holds a password: clients ask for it or read their own. */
export function cloudsYaml(session: Session, domain: string): string {
  return `clouds:
  ${cloudName(session)}:
    auth:
      auth_url: ${endpointOf(session.catalog, "identity", session.region)}
      username: ${yaml(session.user.name)}
      user_domain_name: ${yaml(domain)}
      project_id: ${session.project.id}
      # password: asked for, or here, or in a file secure.yaml beside this one
    region_name: ${yaml(session.region ?? "RegionOne")}
    interface: public
    identity_api_version: 3
`;
}

/** The same for a program, by a credential of its own. */
export function credentialYaml(session: Session, id: string, secret: string): string {
  return `clouds:
  ${cloudName(session)}:
    auth_type: v3applicationcredential
    auth:
      auth_url: ${endpointOf(session.catalog, "identity", session.region)}
      application_credential_id: ${id}
      application_credential_secret: ${JSON.stringify(secret)}
    region_name: ${yaml(session.region ?? "RegionOne")}
    interface: public
    identity_api_version: 3
`;
}

export function openrc(session: Session, domain: string): string {
  return `#!/bin/sh
# For: . ./${cloudName(session)}-openrc.sh
export OS_AUTH_URL=${shell(endpointOf(session.catalog, "identity", session.region))}
export OS_IDENTITY_API_VERSION=3
export OS_USERNAME=${shell(session.user.name)}
export OS_USER_DOMAIN_NAME=${shell(domain)}
export OS_PROJECT_ID=${shell(session.project.id)}
export OS_REGION_NAME=${shell(session.region ?? "RegionOne")}
export OS_INTERFACE=public
printf 'Password of %s: ' "$OS_USERNAME" >&2
stty -echo; read -r OS_PASSWORD; stty echo; echo >&2
export OS_PASSWORD
`;
}

export function terraform(session: Session): string {
  return `terraform {
  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
    }
  }
}

provider "openstack" {
  cloud = ${JSON.stringify(cloudName(session))} # of clouds.yaml; the password by OS_PASSWORD or secure.yaml
}

resource "openstack_compute_instance_v2" "web" {
  name        = "web"
  image_name  = "…"
  flavor_name = "…"
  network {
    name = "…"
  }
}
`;
}

export function cloudName(session: Session): string {
  return session.project.name.toLowerCase().replace(/[^a-z0-9_-]+/g, "-") || "cloud";
}

function yaml(text: string): string {
  return /^[A-Za-z][\w.@-]*$/.test(text) && !/^(yes|no|on|off|true|false|null|y|n)$/i.test(text) ? text : JSON.stringify(text);
}

function shell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

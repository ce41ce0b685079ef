import { Alert, Button, Flex, FlexItem } from "@patternfly/react-core";
import { KeyIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { ApiError } from "../api/errors";
import { compute } from "../api/http";
import { useKeyPairs } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { KeyPair } from "../api/types";
import { t } from "../language";
import { confirmLoss, FormDialog } from "../parts/dialog";
import { download } from "../parts/download";
import { TextAreaField, TextField } from "../parts/fields";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { deleteEach } from "../parts/removal";
import { perform, refresh } from "../parts/work";
import { generate, isPublicKey } from "./openssh";

export function KeyPairsPage() {
  const write = mayWrite(useSession());
  const pairs = useKeyPairs();
  const [dialog, setDialog] = useState<"make" | "import" | null>(null);
  const buttons = write && (
    <Flex gap={{ default: "gapSm" }}>
      <FlexItem><Button onClick={() => setDialog("make")}>{t("Create a key pair")}</Button></FlexItem>
      <FlexItem><Button variant="secondary" onClick={() => setDialog("import")}>{t("Import a public key")}</Button></FlexItem>
    </Flex>
  );
  const columns: Column<KeyPair>[] = [
    { title: t("Name"), cell: (k) => k.name, sort: (k) => k.name },
    { title: t("Kind"), cell: (k) => k.public_key.split(" ")[0], sort: (k) => k.public_key.split(" ")[0] ?? "" },
    { title: t("Fingerprint"), cell: (k) => <span className="st-mono">{k.fingerprint}</span> },
  ];
  return (
    <Page title={t("Key pairs")} actions={pairs.data?.length ? buttons : undefined} lead={t("The key with which you log in to a server by SSH. They are yours alone, in every project.")}>
      <ResourceTable label={t("Key pairs")} rows={pairs.data} error={pairs.error} retry={() => void pairs.refetch()} columns={columns} rowKey={(k) => k.name} text={(k) => k.name}
        bulk={write ? [{ title: t("Delete"), isDanger: true, run: (found) => deleteEach(found, (k) => k.name, t("Servers that have them keep them; new ones can't get them any more."),
          (k) => compute.delete(`/os-keypairs/${encodeURIComponent(k.name)}`), ["key-pairs"]) }] : undefined}
        actions={write ? (k) => [{ title: t("Delete"), isDanger: true, onClick: () => confirmLoss({
          title: t("Delete {{name}}?", { name: k.name }), button: t("Delete"), body: t("Servers that have it keep it; new ones can't get it any more."),
          run: async () => { await compute.delete(`/os-keypairs/${encodeURIComponent(k.name)}`); refresh(["key-pairs"]); } }) }] : undefined}
        empty={{ icon: KeyIcon, title: t("No key pairs yet"), action: buttons || undefined, body: t("Servers let you in by key, not by password. This browser makes one for you: the private half is downloaded and never sent.") }} />
      {dialog === "make" && <Create close={() => setDialog(null)} />}
      {dialog === "import" && <Import close={() => setDialog(null)} />}
    </Page>
  );
}

function Create({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  return (
    <FormDialog title={t("Create a key pair")} button={t("Create and download")} close={close} ready={/^[\w -]+$/.test(name.trim())}
      submit={async () => {
        const made = await generate(name.trim());
        await compute.post("/os-keypairs", { keypair: { name: name.trim(), public_key: made.publicKey } });
        const file = `${name.trim().replaceAll(" ", "-")}_${made.type}`;
        download(file, made.privateKey);
        refresh(["key-pairs"]);
        void perform(t("Key pair {{name}}", { name }), async (tell) => tell(t("Use it with: chmod 600 {{file}}; ssh -i {{file}} user@address", { file })));
      }}>
      <Alert isInline isPlain variant="info" title={t("The key is made in this browser. Only its public half is sent; the private half is downloaded, once.")} />
      <TextField label={t("Name")} value={name} set={setName} required autoFocus help={t("Letters, digits, spaces, - and _.")} />
    </FormDialog>
  );
}

function Import({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [key, setKey] = useState("");
  const secret = key.includes("PRIVATE KEY");
  const bad = key.trim() !== "" && !isPublicKey(key);
  return (
    <FormDialog title={t("Import a public key")} button={t("Import")} close={close} ready={name.trim() !== "" && key.trim() !== "" && !bad}
      submit={async () => {
        try {
          await compute.post("/os-keypairs", { keypair: { name: name.trim(), public_key: key.trim() } });
        } catch (error) {
          if (error instanceof ApiError && error.status === 409) throw new Error(t("You have a key pair of that name already."));
          throw error;
        }
        refresh(["key-pairs"]);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <TextAreaField label={t("Public key")} value={key} set={setKey} required help={t("What is in ~/.ssh/id_ed25519.pub, for instance.")}
        error={secret ? t("That is a private key: keep it to yourself and paste the public one.") : bad ? t("A public key starts with ssh-ed25519, ssh-rsa or ecdsa-sha2-….") : undefined} />
    </FormDialog>
  );
}

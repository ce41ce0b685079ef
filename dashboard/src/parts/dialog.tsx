import { Button, Form, Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core";
import { type FormEvent, type ReactNode, useEffect, useState, useSyncExternalStore } from "react";
import { t } from "../language";
import { focusBack } from "./focus";
import { Problem } from "./Problem";

/** A form over the page. *submit* closes it when it succeeds; what it raises is shown in it. */
export function FormDialog({ title, description, button, children, submit, close, ready = true, danger = false }: {
  title: string; description?: ReactNode; button: string; children?: ReactNode; submit: () => Promise<unknown>;
  close: () => void; ready?: boolean; danger?: boolean;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => focusBack, []);
  async function onSubmit(event: FormEvent): Promise<void> {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setError(null);
    try {
      await submit();
      close();
    } catch (found) {
      setError(found);
      setBusy(false);
    }
  }
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby="dialog-title" aria-describedby={description ? "dialog-description" : undefined}>
      <ModalHeader title={title} labelId="dialog-title" description={description} descriptorId="dialog-description" titleIconVariant={danger ? "warning" : undefined} />
      {(children || error !== null) && (
        <ModalBody>
          <Form id="dialog-form" onSubmit={(event) => void onSubmit(event)}>
            {error !== null && <Problem error={error} />}
            {children}
          </Form>
        </ModalBody>
      )}
      <ModalFooter>
        <Button variant={danger ? "danger" : "primary"} isLoading={busy} isDisabled={!ready || busy}
          {...(children || error !== null ? { type: "submit", form: "dialog-form" } : { onClick: (e) => void onSubmit(e as unknown as FormEvent) })}>
          {button}
        </Button>
        <Button variant="link" onClick={close} autoFocus={danger && !children}>{t("Cancel")}</Button>
      </ModalFooter>
    </Modal>
  );
}

interface Question { title: string; body: ReactNode; button: string; run: () => Promise<unknown> }

let question: Question | null = null;
const listeners = new Set<() => void>();

function ask(found: Question | null): void {
  question = found;
  for (const listener of listeners) listener();
}

/** Ask before something is lost. */
export function confirmLoss(found: Question): void {
  ask(found);
}

export function Questions() {
  const asked = useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, () => question);
  if (!asked) return null;
  return <FormDialog title={asked.title} description={asked.body} button={asked.button} danger submit={asked.run} close={() => ask(null)} />;
}

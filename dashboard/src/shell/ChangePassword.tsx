import { useState } from "react";
import { ApiError } from "../api/errors";
import { changePassword } from "../api/session";
import { t } from "../language";
import { FormDialog } from "../parts/dialog";
import { TextField } from "../parts/fields";
import { perform } from "../parts/work";

/** A new password for who is logged in; this session goes on with it, every other one ends. */
export function ChangePassword({ close }: { close: () => void }) {
  const [old, setOld] = useState("");
  const [now, setNow] = useState("");
  const [again, setAgain] = useState("");
  const differs = again !== "" && again !== now;
  return (
    <FormDialog title={t("Change your password")} button={t("Change")} close={close} ready={old !== "" && now !== "" && again === now} description={t("Every other session of yours ends.")}
      submit={async () => {
        try {
          await changePassword(old, now);
        } catch (error) {
          if (error instanceof ApiError && error.status === 401) throw new Error(t("The old password isn't right."));
          throw error;
        }
        void perform(t("Change your password"), async () => undefined);
      }}>
      <TextField label={t("Old password")} type="password" value={old} set={setOld} required autoFocus autoComplete="current-password" />
      <TextField label={t("New password")} type="password" value={now} set={setNow} required autoComplete="new-password" />
      <TextField label={t("The new one again")} type="password" value={again} set={setAgain} required autoComplete="new-password" error={differs ? t("The two differ.") : undefined} />
    </FormDialog>
  );
}

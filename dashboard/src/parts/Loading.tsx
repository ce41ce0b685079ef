import { Bullseye, Spinner } from "@patternfly/react-core";
import { t } from "../language";

export function Loading() {
  return <Bullseye><Spinner aria-label={t("Loading")} /></Bullseye>;
}

import { Button, type ButtonProps } from "@patternfly/react-core";
import { Link } from "react-router";

/** A link that looks like a button. It stays the same element when the page around it is drawn again, and keeps the focus. */
export function LinkButton({ to, ...props }: Omit<ButtonProps, "component" | "ref"> & { to: string }) {
  return <Button {...props} {...{ to }} component={Link as never} />;
}

import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import { EllipsisVIcon } from "@patternfly/react-icons";
import type { IAction } from "@patternfly/react-table";
import { useEffect, useState } from "react";
import { t } from "../language";

/** A row's menu. It is made when somebody wants it: fifty menus that nobody opens cost more than the rest of their rows. */
export function RowActions({ name, items }: { name: string; items: () => IAction[] }) {
  const [wanted, setWanted] = useState(false);
  const label = t("Menu of {{name}}", { name });
  if (wanted) return <Menu label={label} items={items} />;
  return <MenuToggle variant="plain" aria-label={label} aria-haspopup="menu" icon={<EllipsisVIcon />} onClick={() => setWanted(true)} />;
}

function Menu({ label, items }: { label: string; items: () => IAction[] }) {
  const [open, setOpen] = useState(false);
  // not at once: the click that asked for it is still on its way to whoever closes menus when something else is clicked
  useEffect(() => {
    const timer = setTimeout(() => setOpen(true));
    return () => clearTimeout(timer);
  }, []);
  return (
    <Dropdown isOpen={open} onOpenChange={setOpen} popperProps={{ position: "end" }} shouldFocusFirstItemOnOpen
      toggle={(ref) => <MenuToggle ref={ref} variant="plain" aria-label={label} isExpanded={open} autoFocus icon={<EllipsisVIcon />} onClick={() => setOpen(!open)} />}>
      <DropdownList>
        {open && items().map((item, index) => item.isSeparator ? <Divider key={index} component="li" /> : (
          <DropdownItem key={index} isDanger={item.isDanger} isDisabled={item.isDisabled} onClick={(event) => {
            setOpen(false);
            item.onClick?.(event, 0, {}, {});
          }}>{item.title}</DropdownItem>
        ))}
      </DropdownList>
    </Dropdown>
  );
}

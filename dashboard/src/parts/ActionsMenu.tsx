import { Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import type { IAction, ISeparator } from "@patternfly/react-table";
import { useState } from "react";
import { t } from "../language";

/** The menu at the head of one resource's page: the same actions as in its row of the list. */
export function ActionsMenu({ items }: { items: (IAction | ISeparator)[] }) {
  const [open, setOpen] = useState(false);
  return (
    <Dropdown isOpen={open} onOpenChange={setOpen} shouldFocusFirstItemOnOpen onSelect={() => setOpen(false)} popperProps={{ position: "right" }}
      toggle={(ref) => <MenuToggle ref={ref} variant="primary" isExpanded={open} onClick={() => setOpen(!open)}>{t("Actions")}</MenuToggle>}>
      <DropdownList>
        {items.filter((item): item is IAction => !item.isSeparator).map((item) => (
          <DropdownItem key={String(item.title)} isDanger={item.isDanger} isDisabled={item.isDisabled} onClick={(event) => item.onClick?.(event as never, 0, {}, {})}>{item.title}</DropdownItem>
        ))}
      </DropdownList>
    </Dropdown>
  );
}

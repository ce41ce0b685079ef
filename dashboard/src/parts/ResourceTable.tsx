import {
  Bullseye, Button, Dropdown, DropdownItem, DropdownList, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, MenuToggle, Pagination, SearchInput, Skeleton, Toolbar,
  ToolbarContent, ToolbarItem,
} from "@patternfly/react-core";
import { type IAction, Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { type ComponentType, type ReactNode, useState } from "react";
import { isTold } from "../api/silence";
import { t } from "../language";
import { useOrdered } from "./order";
import { Problem } from "./Problem";
import { RowActions } from "./RowActions";

export interface Column<T> {
  title: string;
  cell: (row: T) => ReactNode;
  /** What rows are sorted by; a column without it can't be sorted. */
  sort?: (row: T) => string | number;
  nowrap?: boolean;
}

/** Something that can be done with many rows at once. */
export interface Bulk<T> {
  title: string;
  isDanger?: boolean;
  fits?: (row: T) => boolean;
  run: (rows: T[]) => void;
}

export interface Empty {
  icon: ComponentType;
  title: string;
  body: string;
  /** What makes the first one; `false` where the role doesn't allow it, which is said then. */
  action?: ReactNode;
}

interface Props<T> {
  label: string;
  rows: T[] | undefined;
  error?: unknown;
  retry?: () => void;
  columns: Column<T>[];
  rowKey: (row: T) => string;
  /** What the search box looks in. */
  text?: (row: T) => string;
  actions?: (row: T) => IAction[];
  bulk?: Bulk<T>[];
  empty: Empty;
  toolbar?: ReactNode;
}

export function Nothing({ icon, title, body, action }: Empty) {
  return (
    <EmptyState icon={icon} titleText={title} headingLevel="h2" variant="lg">
      <EmptyStateBody>{body}{action === false && <p className="st-below st-muted">{t("Your role lets you look; a member of the project can make one.")}</p>}</EmptyStateBody>
      {action && <EmptyStateFooter><EmptyStateActions>{action}</EmptyStateActions></EmptyStateFooter>}
    </EmptyState>
  );
}

export function LoadingRows({ columns, rows = 5 }: { columns: number; rows?: number }) {
  return (
    <Tbody>
      {Array.from({ length: rows }, (_, row) => (
        <Tr key={row}>
          {Array.from({ length: columns }, (_, column) => (
            <Td key={column}><Skeleton screenreaderText={row + column === 0 ? t("Loading") : undefined} /></Td>
          ))}
        </Tr>
      ))}
    </Tbody>
  );
}

const NONE: never[] = [];

/** Rows that were all fetched: searched, sorted and paged here. */
export function ResourceTable<T>({ label, rows, error, retry, columns, rowKey, text, actions, bulk, empty, toolbar }: Props<T>) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [search, setSearch] = useState("");
  const [page, setPage] = useState(1);
  const [perPage, setPerPage] = useState(20);
  const [sort, setSort] = useState<{ index: number; direction: "asc" | "desc" }>({ index: 0, direction: "asc" });
  const wanted = search.trim().toLowerCase();
  const kept = wanted && text ? (rows ?? []).filter((row) => text(row).toLowerCase().includes(wanted)) : rows ?? NONE;
  const found = useOrdered(kept as T[], columns[sort.index]?.sort, sort.direction === "desc");
  if (error && !rows && !isTold(error)) return <Problem error={error} retry={retry} />;
  if (rows && rows.length === 0) {
    return <Nothing {...empty} />;
  }
  const shown = found.slice((page - 1) * perPage, page * perPage);
  return (
    <>
      {error ? <Problem error={error} retry={retry} /> : null}
      {(text || bulk || toolbar || found.length > perPage) && <Toolbar>
        <ToolbarContent>
          {text && (
            <ToolbarItem>
              <SearchInput aria-label={t("Search")} placeholder={t("Search")} value={search}
                onChange={(_event, value) => { setSearch(value); setPage(1); }} onClear={() => setSearch("")} />
            </ToolbarItem>
          )}
          {bulk && <ToolbarItem><BulkMenu rows={(rows ?? []).filter((row) => chosen.has(rowKey(row)))} bulk={bulk} /></ToolbarItem>}
          {toolbar && <ToolbarItem>{toolbar}</ToolbarItem>}
          {found.length > perPage && (
            <ToolbarItem variant="pagination">
              <Pagination isCompact itemCount={found.length} page={page} perPage={perPage}
                toggleTemplate={({ firstIndex, lastIndex }) => <>{t("{{first}} to {{last}} of {{all}}", { first: firstIndex, last: lastIndex, all: found.length })}</>}
                onSetPage={(_event, number) => setPage(number)}
                onPerPageSelect={(_event, number) => { setPerPage(number); setPage(1); }} />
            </ToolbarItem>
          )}
        </ToolbarContent>
      </Toolbar>}
      <Table aria-label={label} variant="compact">
        <Thead>
          <Tr>
            {bulk && <Th aria-label={t("Choose all of this page")} select={{
              isSelected: shown.length > 0 && shown.every((row) => chosen.has(rowKey(row))),
              onSelect: (_event, on) => setChosen(new Set(on ? shown.map(rowKey) : [])) }} />}
            {columns.map((column, index) => (
              <Th key={column.title} modifier="nowrap" sort={column.sort && {
                columnIndex: index, sortBy: { index: sort.index, direction: sort.direction },
                onSort: (_event, _index, direction) => setSort({ index, direction }) }}>
                {column.title}
              </Th>
            ))}
            {actions && <Th screenReaderText={t("Actions")} />}
          </Tr>
        </Thead>
        {rows === undefined ? <LoadingRows columns={columns.length + (actions ? 1 : 0) + (bulk ? 1 : 0)} /> : (
          <Tbody>
            {shown.map((row, index) => {
              const possible = (actions?.(row).length ?? 0) > 0;
              return (
                <Tr key={rowKey(row)}>
                  {bulk && <Td select={{ rowIndex: index, isSelected: chosen.has(rowKey(row)), onSelect: (_event, on) => setChosen((before) => {
                    const next = new Set(before);
                    if (on) next.add(rowKey(row));
                    else next.delete(rowKey(row));
                    return next;
                  }) }} />}
                  {columns.map((column) => (
                    <Td key={column.title} dataLabel={column.title} modifier={column.nowrap ? "nowrap" : "breakWord"}>{column.cell(row)}</Td>
                  ))}
                  {actions && <Td isActionCell>{possible && <RowActions name={text?.(row) ?? String(columns[0]?.sort?.(row) || label)} items={() => actions(row)} />}</Td>}
                </Tr>
              );
            })}
          </Tbody>
        )}
      </Table>
      {rows && found.length === 0 && (
        <Bullseye>
          <EmptyState titleText={t("Nothing matches")} headingLevel="h2" variant="sm">
            <EmptyStateFooter><Button variant="link" onClick={() => setSearch("")}>{t("Clear the search")}</Button></EmptyStateFooter>
          </EmptyState>
        </Bullseye>
      )}
    </>
  );
}

function BulkMenu<T>({ rows, bulk }: { rows: T[]; bulk: Bulk<T>[] }) {
  const [open, setOpen] = useState(false);
  return (
    <Dropdown isOpen={open} onOpenChange={setOpen} shouldFocusFirstItemOnOpen toggle={(ref) => (
      <MenuToggle ref={ref} isExpanded={open} isDisabled={rows.length === 0} onClick={() => setOpen(!open)}>
        {rows.length > 0 ? t("With {{number}} chosen", { number: rows.length }) : t("With those chosen")}
      </MenuToggle>
    )}>
      <DropdownList>
        {bulk.map((one) => {
          const fitting = rows.filter((row) => one.fits?.(row) ?? true);
          return (
            <DropdownItem key={one.title} isDanger={one.isDanger} isDisabled={fitting.length === 0} onClick={() => { setOpen(false); one.run(fitting); }}
              description={fitting.length < rows.length ? t("Fits {{number}} of them", { number: fitting.length }) : undefined}>
              {one.title}
            </DropdownItem>
          );
        })}
      </DropdownList>
    </Dropdown>
  );
}

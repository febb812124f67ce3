import { lazy, Suspense, useEffect, type ReactNode } from "react";
import type { ChartOption, Scene } from "../../charts/options";
import { download, toCsv, type CsvCell } from "../../format/csv";
import type { Query } from "../../live/useQuery";
import { useChangeSearch, useSearch } from "../../router/location";
import { IconButton } from "../../ui/Button";
import { CheckIcon, DownloadIcon, LinkIcon, TableIcon } from "../../ui/icons";
import { Empty, Failed, Loading, Panel } from "../../ui/Panel";
import { useCopied } from "../../ui/useCopied";
import styles from "./ChartPanel.module.css";

const EChart = lazy(() => import("../../charts/EChart"));
/** Of more rows, the table shows the last; the CSV has all. */
const TABLE_ROWS = 1_000;

export interface Column<Row> {
  name: string;
  cell: (row: Row) => ReactNode;
  /** The exact value, for the CSV. */
  raw: (row: Row) => CsvCell;
}

interface ChartPanelProps<Row> {
  title: string;
  note: string;
  className?: string | undefined;
  /** Names the panel in the address; from the title, unless told. */
  id?: string;
  rows: Query<readonly Row[]>;
  /** What is drawn; or `picture`, for what ECharts does not draw. */
  option?: (scene: Scene) => ChartOption;
  picture?: ReactNode;
  columns: readonly Column<Row>[];
  /** Whether the rows stand below each other: a narrow chart then needs more height. */
  ranking?: boolean;
  onPick?: (index: number, name: string) => void;
  /** What is said where there are no rows. */
  empty?: string;
  /** What stands between the heading and the chart. */
  above?: ReactNode;
  /** What stands below the chart. */
  below?: ReactNode;
}

/** A chart and the same rows as a table and as a file, with what is said while there is neither. */
export function ChartPanel<Row>(props: ChartPanelProps<Row>) {
  const { title, note, className, rows, option, columns, ranking = false, onPick } = props;
  const id = props.id ?? slug(title);
  const [asTable, setAsTable] = useAsTable(id);
  useShownWhenNamed(id);
  const data = rows.data ?? [];
  return (
    <Panel
      title={title}
      note={note}
      className={className}
      id={id}
      actions={
        <div className={styles.actions}>
          <IconButton
            label={`${title} as a table`}
            aria-pressed={asTable}
            onClick={() => {
              setAsTable(!asTable);
            }}
          >
            <TableIcon />
          </IconButton>
          <IconButton
            label={`${title} as CSV`}
            disabled={data.length === 0}
            onClick={() => {
              download(`${slug(title)}.csv`, csvOf(columns, data));
            }}
          >
            <DownloadIcon />
          </IconButton>
          <LinkToHere title={title} id={id} />
        </div>
      }
    >
      {props.above}
      <div className={styles.frame}>
        <div className={styles.body} data-ranking={ranking}>
          <Body rows={rows} title={title} empty={props.empty ?? "Nothing has been sold yet."}>
            {asTable ? (
              <Table rows={data} columns={columns} title={title} />
            ) : option === undefined ? (
              props.picture
            ) : (
              <Suspense fallback={<Loading label={`Loading ${title}`} />}>
                <EChart
                  label={`Chart: ${title}. The same figures can be read as a table.`}
                  option={option}
                  onPick={onPick}
                />
              </Suspense>
            )}
          </Body>
        </div>
      </div>
      {props.below}
    </Panel>
  );
}

function csvOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  return toCsv(
    columns.map(({ name }) => name),
    rows.map((row) => columns.map(({ raw }) => raw(row))),
  );
}

const slug = (title: string): string => title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");

/** Whether a panel is read as a table; the address holds it, so that a link shows the same. */
function useAsTable(id: string): [asTable: boolean, setAsTable: (asTable: boolean) => void] {
  const change = useChangeSearch();
  const tables = useSearch().get("tables")?.split(",") ?? [];
  const others = tables.filter((each) => each !== id);
  return [
    tables.includes(id),
    (asTable) => {
      const named = asTable ? [...others, id] : others;
      change({ tables: named.length > 0 ? named.join(",") : null }, { replace: true });
    },
  ];
}

/** A link to a panel (`…#panel`) brings it into sight; the browser looked for it before it was there. */
function useShownWhenNamed(id: string): void {
  useEffect(() => {
    if (window.location.hash === `#${id}`) document.getElementById(id)?.scrollIntoView({ block: "start" });
  }, [id]);
}

/** Copies the address, which holds everything that was chosen. */
function LinkToHere({ title, id }: { title: string; id: string }) {
  const [copied, copy] = useCopied();
  return (
    <IconButton
      label={copied ? "Link copied" : `Copy a link to ${title}`}
      onClick={() => {
        copy(new URL(`#${id}`, window.location.href).href);
      }}
    >
      {copied ? <CheckIcon /> : <LinkIcon />}
    </IconButton>
  );
}

interface BodyProps<Row> {
  rows: Query<readonly Row[]>;
  title: string;
  empty: string;
  children: ReactNode;
}

function Body<Row>({ rows, title, empty, children }: BodyProps<Row>) {
  if (rows.data === undefined) {
    return rows.error ? <Failed error={rows.error} retry={rows.retry} /> : <Loading label={`Loading ${title}`} />;
  }
  if (rows.data.length === 0) return <Empty>{empty}</Empty>;
  return (
    <>
      {children}
      {rows.error !== null && (
        <p className={styles.refreshing} role="status">
          Not refreshed: {rows.error.message}
        </p>
      )}
    </>
  );
}

interface TableProps<Row> {
  title: string;
  rows: readonly Row[];
  columns: readonly Column<Row>[];
}

function Table<Row>({ title, rows, columns }: TableProps<Row>) {
  const left = rows.length - TABLE_ROWS;
  return (
    // A region that scrolls has to be reachable by keyboard.
    <div className={styles.table} tabIndex={0} role="region" aria-label={`${title}, table`}>
      <table>
        <thead>
          <tr>
            {columns.map(({ name }) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(-TABLE_ROWS).map((row, index) => (
            <tr key={index}>
              {columns.map(({ name, cell }) => (
                <td key={name}>{cell(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {left > 0 && <p className={styles.left}>{left} earlier rows are in the CSV.</p>}
    </div>
  );
}

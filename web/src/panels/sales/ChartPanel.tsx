import { lazy, Suspense, useState, type ReactNode } from "react";
import type { ChartOption, Scene } from "../../charts/options";
import type { Query } from "../../live/useQuery";
import { Button } from "../../ui/Button";
import { Empty, Failed, Loading, Panel } from "../../ui/Panel";
import styles from "./ChartPanel.module.css";

const EChart = lazy(() => import("../../charts/EChart"));

export interface Column<Row> {
  name: string;
  cell: (row: Row) => ReactNode;
}

interface ChartPanelProps<Row> {
  title: string;
  note: string;
  className?: string | undefined;
  rows: Query<readonly Row[]>;
  option: (scene: Scene) => ChartOption;
  columns: readonly Column<Row>[];
  /** Whether the rows stand below each other: a narrow chart then needs more height. */
  ranking?: boolean;
  onPick?: (index: number) => void;
}

/** A chart and the same rows as a table, with what is said while there is neither. */
export function ChartPanel<Row>(props: ChartPanelProps<Row>) {
  const { title, note, className, rows, option, columns, ranking = false, onPick } = props;
  const [asTable, setAsTable] = useState(false);
  return (
    <Panel
      title={title}
      note={note}
      className={className}
      actions={
        <Button
          aria-pressed={asTable}
          aria-label={`${title} as a table`}
          onClick={() => {
            setAsTable(!asTable);
          }}
        >
          Table
        </Button>
      }
    >
      <div className={styles.frame}>
        <div className={styles.body} data-ranking={ranking}>
        <Body rows={rows} title={title}>
          {asTable ? (
            <Table rows={rows.data ?? []} columns={columns} title={title} />
          ) : (
            <Suspense fallback={<Loading label={`Loading ${title}`} />}>
              <EChart label={`Chart: ${title}. The same figures can be read as a table.`} option={option} onPick={onPick} />
            </Suspense>
          )}
        </Body>
        </div>
      </div>
    </Panel>
  );
}

function Body<Row>({ rows, title, children }: { rows: Query<readonly Row[]>; title: string; children: ReactNode }) {
  if (rows.data === undefined) {
    return rows.error ? <Failed error={rows.error} retry={rows.retry} /> : <Loading label={`Loading ${title}`} />;
  }
  if (rows.data.length === 0) return <Empty>Nothing has been sold yet.</Empty>;
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
          {rows.map((row, index) => (
            <tr key={index}>
              {columns.map(({ name, cell }) => (
                <td key={name}>{cell(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

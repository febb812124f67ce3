import type { ReactNode } from "react";
import type { TopEntry, TopKind } from "../../api/types";
import { formatShare } from "../../format/numbers";
import { categoryPath, productTitle } from "../../format/product";
import { useLive } from "../../live/LiveContext";
import { useMay } from "../../live/SessionContext";
import { useMoney } from "../../live/ShopContext";
import { Link } from "../../router/Link";
import { customerPath, productPath } from "../../router/route";
import { Empty, Loading, Panel } from "../../ui/Panel";
import { useReorder } from "../../ui/useReorder";
import styles from "./TopLists.module.css";

const LISTS: [kind: TopKind, title: string, name: (entry: TopEntry) => ReactNode][] = [
  [
    "spenders",
    "Top spenders",
    ({ id }) => (
      <Link className="id" to={customerPath(id)}>
        {id}
      </Link>
    ),
  ],
  ["products", "Top products", (entry) => <ProductName entry={entry} />],
  [
    "categories",
    "Top categories",
    ({ id }) => (id === "unknown" ? "unknown" : <Link to={`/sales?category=${encodeURIComponent(id)}`}>{categoryPath(id)}</Link>),
  ],
  ["brands", "Top brands", ({ id }) => id],
];

/** What a product is called, above its id where that is another text. */
function ProductName({ entry }: { entry: TopEntry }) {
  const { id, name, category_code, brand } = entry;
  const title = productTitle({ product_id: id, product_name: name, category_code, brand });
  return (
    <>
      <Link to={productPath(id)}>{title}</Link>
      {!title.includes(id) && <small className={`${styles.product} id`}>{id}</small>}
    </>
  );
}

/** Who and what sells most, as of the newest snapshot; a place that changes is seen to move. */
export function TopLists() {
  const top = useLive((state) => state.snapshot?.top);
  const persons = useMay("persons");
  return (
    <div className={styles.lists}>
      {LISTS.filter(([kind]) => persons || kind !== "spenders").map(([kind, title, name]) => (
        <Panel key={kind} title={title} note="by revenue since the beginning">
          {top?.[kind] === undefined ? (
            <Loading label={`Loading ${title}`} />
          ) : top[kind].length === 0 ? (
            <Empty>Nothing has been sold yet.</Empty>
          ) : (
            <List kind={kind} entries={top[kind]} name={name} />
          )}
        </Panel>
      ))}
    </div>
  );
}

interface ListProps {
  kind: TopKind;
  entries: readonly TopEntry[];
  name: (entry: TopEntry) => ReactNode;
}

function List({ kind, entries, name }: ListProps) {
  const money = useMoney();
  const list = useReorder<HTMLOListElement>();
  return (
    <ol ref={list} className={styles.list} data-testid={`top-${kind}`}>
      {entries.map((entry) => (
        <li key={entry.id} data-key={entry.id}>
          <span className={styles.name}>{name(entry)}</span>
          <span className="number">{money.exact(entry.revenue)}</span>
          <span className={`${styles.share} number`}>{formatShare(entry.share)}</span>
        </li>
      ))}
    </ol>
  );
}

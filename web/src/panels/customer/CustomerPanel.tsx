import { api, ApiError } from "../../api/client";
import type { Customer } from "../../api/types";
import { formatCount } from "../../format/numbers";
import { productTitle } from "../../format/product";
import { formatDate } from "../../format/time";
import { useLive, useLiveConnection } from "../../live/LiveContext";
import { useMoney } from "../../live/ShopContext";
import { useQuery } from "../../live/useQuery";
import { Button } from "../../ui/Button";
import { CopyableId } from "../../ui/CopyableId";
import { Empty, Failed, Loading, Panel } from "../../ui/Panel";
import styles from "./CustomerPanel.module.css";
import { CustomerSearch } from "./CustomerSearch";
import { ProductCard } from "./ProductCard";
import { PurchaseList } from "./PurchaseList";
import { reasonText, strategyText } from "./reason";

const REFRESH_MS = 4_000;
const PICKS = 3;
const PRODUCTS = 3;

interface CustomerPanelProps {
  className?: string | undefined;
  userId: string | null;
  onCustomer: (userId: string) => void;
}

/** One customer: what they bought, and the three products that they are most likely to buy next. */
export function CustomerPanel({ className, userId, onCustomer }: CustomerPanelProps) {
  return (
    <Panel title="Customer" note="and the three products they are most likely to buy next" className={className}>
      <div className={styles.tools}>
        <CustomerSearch onCustomer={onCustomer} />
        <QuickPicks userId={userId} onCustomer={onCustomer} />
      </div>
      {userId === null ? (
        <Empty>Known customers appear here with their first purchase.</Empty>
      ) : (
        <Shown key={userId} userId={userId} />
      )}
    </Panel>
  );
}

function QuickPicks({ userId, onCustomer }: Required<Pick<CustomerPanelProps, "userId" | "onCustomer">>) {
  const spenders = useLive((state) => state.snapshot?.top.spenders);
  if (spenders === undefined || spenders.length === 0) return null;
  return (
    <div className={styles.picks}>
      <span>Top spenders</span>
      {spenders.slice(0, PICKS).map(({ id }) => (
        <Button
          key={id}
          className="id"
          aria-pressed={id === userId}
          onClick={() => {
            onCustomer(id);
          }}
        >
          {id}
        </Button>
      ))}
    </div>
  );
}

function Shown({ userId }: { userId: string }) {
  const connection = useLiveConnection();
  const eventsNow = (): unknown => connection.getState().snapshot?.summary.events;
  const customer = useQuery(`customer:${userId}`, (signal) => customerOrNull(userId, signal), {
    everyMs: REFRESH_MS,
    revision: eventsNow,
  });
  if (customer.data === undefined) {
    return customer.error ? (
      <Failed error={customer.error} retry={customer.retry} />
    ) : (
      <div className={styles.waiting}>
        <Loading label="Loading the customer" />
      </div>
    );
  }
  return (
    <>
      <Totals userId={userId} customer={customer.data} />
      <Recommended userId={userId} customer={customer.data} />
      {customer.data !== null && <PurchaseList purchases={customer.data.purchases} />}
    </>
  );
}

/** The customer; null where none of that id has bought anything. */
async function customerOrNull(userId: string, signal: AbortSignal): Promise<Customer | null> {
  try {
    return await api.customer(userId, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

function Totals({ userId, customer }: { userId: string; customer: Customer | null }) {
  const money = useMoney();
  return (
    <div className={styles.customer}>
      <p className={styles.who}>
        <CopyableId id={userId} what="customer id" />
      </p>
      {customer === null ? (
        <p data-testid="unknown-customer">No purchase of this customer is known.</p>
      ) : (
        <dl className={`${styles.totals} number`}>
          <Total name="Spent">{money.exact(customer.revenue)}</Total>
          <Total name="Orders">{formatCount(customer.orders)}</Total>
          <Total name="Pieces">{formatCount(customer.quantity)}</Total>
          {customer.first_seen !== null && <Total name="First bought">{formatDate(customer.first_seen)}</Total>}
          {customer.last_seen !== null && <Total name="Last bought">{formatDate(customer.last_seen)}</Total>}
        </dl>
      )}
    </div>
  );
}

function Total({ name, children }: { name: string; children: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Recommended({ userId, customer }: { userId: string; customer: Customer | null }) {
  const connection = useLiveConnection();
  const { data, error, retry } = useQuery(
    `recommendations:${userId}`,
    (signal) => api.recommendations(userId, PRODUCTS, signal),
    {
      everyMs: REFRESH_MS,
      revision: () => `${customer?.quantity} ${connection.getState().snapshot?.summary.model_version}`,
    },
  );
  if (data === undefined) {
    return <div className={styles.waiting}>{error ? <Failed error={error} retry={retry} /> : <Loading label="Loading recommendations" />}</div>;
  }
  const bought = new Map(customer?.purchases.map((purchase) => [purchase.product_id, productTitle(purchase)]));
  return (
    <>
      <p className={styles.strategy} data-testid="strategy" data-strategy={data.strategy}>
        <strong>{strategyText(data.strategy)}</strong>
        <span>
          Model <span className="id">{data.model_version ?? "none yet"}</span>
        </span>
      </p>
      {data.items.length === 0 ? (
        <Empty>{data.message ?? "There is no product to recommend yet."}</Empty>
      ) : (
        <ol className={styles.cards}>
          {data.items.map((item, index) => (
            <ProductCard
              key={item.product_id}
              item={item}
              place={index + 1}
              bestScore={data.items[0]?.score ?? 0}
              why={reasonText(item, (productId) => bought.get(productId) ?? null)}
            />
          ))}
        </ol>
      )}
    </>
  );
}

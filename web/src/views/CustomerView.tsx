import { useMemo, useState } from "react";
import { api, ApiError } from "../api/client";
import type { Customer } from "../api/types";
import { productTitle } from "../format/product";
import { useLive, useLiveConnection } from "../live/LiveContext";
import { useFigures } from "../live/useFigures";
import { useQuery } from "../live/useQuery";
import { CustomerTotals, Purchases } from "../panels/customer/CustomerPanel";
import { CustomerSearch } from "../panels/customer/CustomerSearch";
import { FilterTools } from "../panels/customer/FilterTools";
import { asQuery, filtersOf, type Filters } from "../panels/customer/filters";
import { QuickPicks } from "../panels/customer/QuickPicks";
import { Spend } from "../panels/customer/Spend";
import { WhatIf } from "../panels/customer/WhatIf";
import { Recommended } from "../panels/recommended/Recommended";
import { navigate, useSearch } from "../router/location";
import { customerPath } from "../router/route";
import { Empty, Failed, Loading, Panel } from "../ui/Panel";
import styles from "./CustomerView.module.css";

const REFRESH_MS = 4_000;
const PRODUCTS = 3;

/** One customer: what they bought, and what they are most likely to buy next. */
export default function CustomerView({ id }: { id: string | null }) {
  const [userId, chosen] = useShown(id);
  return (
    <div className={styles.page}>
      <div className={styles.tools}>
        <CustomerSearch
          onCustomer={(customer) => {
            navigate(customerPath(customer));
          }}
        />
        <QuickPicks userId={userId} />
      </div>
      {!chosen && userId !== null && <p className={styles.hint}>The biggest spender, until you choose a customer.</p>}
      {userId === null ? (
        <Empty>Known customers appear here with their first purchase.</Empty>
      ) : (
        <Shown key={userId} userId={userId} />
      )}
    </div>
  );
}

/** The customer of the address; until one is chosen, whoever led when the view was opened. */
function useShown(id: string | null): [userId: string | null, chosen: boolean] {
  const leader = useLive((state) => state.snapshot?.top.spenders?.[0]?.id ?? null);
  const [firstLeader, setFirstLeader] = useState<string | null>(null);
  if (firstLeader === null && leader !== null) setFirstLeader(leader);
  return [id ?? firstLeader, id !== null];
}

function Shown({ userId }: { userId: string }) {
  const search = useSearch();
  const filters = useMemo(() => filtersOf(search), [search]);
  const customer = useFigures(`customer:${userId}`, (signal) => customerOrNull(userId, signal), REFRESH_MS);
  if (customer.data === undefined) {
    return (
      <div className={styles.waiting}>
        {customer.error ? (
          <Failed error={customer.error} retry={customer.retry} />
        ) : (
          <Loading label="Loading the customer" />
        )}
      </div>
    );
  }
  return <Known userId={userId} customer={customer.data} filters={filters} />;
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

interface KnownProps {
  userId: string;
  customer: Customer | null;
  filters: Filters;
}

function Known({ userId, customer, filters }: KnownProps) {
  const connection = useLiveConnection();
  const answer = useQuery(
    `recommendations:${userId}:${JSON.stringify(filters)}`,
    (signal) => api.recommendations(userId, { k: PRODUCTS, ...asQuery(filters) }, signal),
    {
      everyMs: REFRESH_MS,
      revision: () => `${customer?.quantity} ${connection.getState().snapshot?.summary.model_version}`,
    },
  );
  const bought = new Map(customer?.purchases.map((purchase) => [purchase.product_id, productTitle(purchase)]));
  return (
    <>
      <CustomerTotals userId={userId} customer={customer} />
      <Panel title="Most likely to buy next" note="three products, each with why">
        <FilterTools filters={filters} />
        <Recommended
          answer={answer}
          titleOf={(productId) => bought.get(productId) ?? null}
          empty="No product fits these filters."
        />
      </Panel>
      <WhatIf customer={customer} recommended={answer.data?.items ?? []} filters={filters} />
      {customer !== null && (
        <div className={styles.pair}>
          <Spend customer={customer} />
          <Purchases customer={customer} />
        </div>
      )}
    </>
  );
}

import { useState } from "react";
import type { Purchase } from "../../api/types";
import { formatCount } from "../../format/numbers";
import { productTitle } from "../../format/product";
import { formatDate, formatTimeOfDay } from "../../format/time";
import { useMoney } from "../../live/ShopContext";
import { Link } from "../../router/Link";
import { productPath } from "../../router/route";
import { Button } from "../../ui/Button";
import styles from "./PurchaseList.module.css";

const AT_FIRST = 8;

/** A customer's latest purchases, the newest first; more of them when asked. */
export function PurchaseList({ purchases }: { purchases: readonly Purchase[] }) {
  const [all, setAll] = useState(false);
  const money = useMoney();
  const shown = all ? purchases : purchases.slice(0, AT_FIRST);
  return (
    <div className={styles.list}>
      <table>
        <caption className="visually-hidden">Latest purchases</caption>
        <thead>
          <tr>
            <th scope="col">Product</th>
            <th scope="col">When</th>
            <th scope="col">Pieces</th>
            <th scope="col">Amount</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((purchase, index) => (
            // Two equal lines of one order are two purchases, and the list is only ever replaced whole.
            <tr key={index}>
              <td>
                <Link to={productPath(purchase.product_id)}>{productTitle(purchase)}</Link>
              </td>
              <td className="number">
                <span>{formatDate(purchase.event_time)}</span> <span>{formatTimeOfDay(purchase.event_time)}</span>
              </td>
              <td className="number">{formatCount(purchase.quantity)}</td>
              <td className="number">{money.exact(purchase.revenue)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {purchases.length > AT_FIRST && (
        <Button
          aria-expanded={all}
          onClick={() => {
            setAll(!all);
          }}
        >
          {all ? `Show the latest ${AT_FIRST}` : `Show all ${purchases.length}`}
        </Button>
      )}
    </div>
  );
}

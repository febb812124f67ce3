import { api } from "../../api/client";
import type { RecommendedItem } from "../../api/types";
import { formatScore } from "../../format/numbers";
import { categoryPath, known, productTitle } from "../../format/product";
import { useMoney } from "../../live/ShopContext";
import { useQuery } from "../../live/useQuery";
import { Link } from "../../router/Link";
import { productPath } from "../../router/route";
import { CopyableId } from "../../ui/CopyableId";
import { ProductPicture } from "../../ui/ProductPicture";
import { becauseOf, reasonText } from "./reason";
import styles from "./ProductCard.module.css";

interface ProductCardProps {
  item: RecommendedItem;
  place: number;
  /** The name of a product that the reason refers to; null where it is not known. */
  titleOf: (productId: string) => string | null;
  /** The best score of the answer: what a full bar means. */
  bestScore: number;
}

/** One recommended product: what it is, what it costs, how well it fits, and why it is here. */
export function ProductCard({ item, place, titleOf, bestScore }: ProductCardProps) {
  const money = useMoney();
  return (
    <li className={styles.card} data-testid="recommendation">
      <ProductPicture url={item.image_url ?? null} />
      <p className={styles.category}>{categoryPath(item.category_code)}</p>
      <h3 className={styles.title}>
        <span className={styles.place} aria-hidden="true">
          {place}
        </span>
        <Link to={productPath(item.product_id)}>{productTitle(item)}</Link>
      </h3>
      <dl className={styles.facts}>
        <div>
          <dt>Brand</dt>
          <dd>{known(item.brand) ?? "unknown"}</dd>
        </div>
        <div className={styles.price}>
          <dt>Price</dt>
          <dd className="number">{item.price === null ? "unknown" : money.exact(item.price)}</dd>
        </div>
      </dl>
      <div className={styles.score}>
        <span>Score</span>
        <span className={styles.bar} aria-hidden="true">
          <span style={{ width: `${100 * partOf(item.score, bestScore)}%` }} />
        </span>
        <span className="number">{formatScore(item.score)}</span>
      </div>
      <Why item={item} titleOf={titleOf} />
      <p className={styles.id}>
        <CopyableId id={item.product_id} what="product id" />
      </p>
    </li>
  );
}

/** 0 to 1; where not even the best fits, nothing. */
const partOf = (score: number, best: number): number => (best > 0 ? Math.min(1, Math.max(0, score / best)) : 0);

/** Why the product is here. The product that the reason names is looked up where the view does not know it. */
function Why({ item, titleOf }: Pick<ProductCardProps, "item" | "titleOf">) {
  const because = becauseOf(item);
  const seen = because === null ? null : titleOf(because);
  const wanted = seen === null ? because : null;
  const { data } = useQuery(`reason:${wanted}`, async (signal) => {
    return wanted === null ? null : productTitle(await api.product(wanted, signal));
  });
  return (
    <p className={styles.why} data-testid="reason">
      {reasonText(item, seen ?? data ?? null)}
    </p>
  );
}

import { api, ApiError } from "../api/client";
import type { Product } from "../api/types";
import { formatCount } from "../format/numbers";
import { productTitle } from "../format/product";
import { useLive } from "../live/LiveContext";
import { useMoney } from "../live/ShopContext";
import { useFigures } from "../live/useFigures";
import { useQuery } from "../live/useQuery";
import { ProductFacts } from "../panels/product/ProductFacts";
import { ProductSearch } from "../panels/product/ProductSearch";
import { ProductSales } from "../panels/product/ProductSales";
import { Recommended } from "../panels/recommended/Recommended";
import { Link } from "../router/Link";
import { navigate } from "../router/location";
import { productPath } from "../router/route";
import { Empty, Failed, Loading, Panel } from "../ui/Panel";
import styles from "./ProductView.module.css";

const EACH = 6;
const BEST = 20;

/** One product: what it is, how it sells, what is like it and what goes with it. Without an id, the best-selling ones. */
export default function ProductView({ id }: { id: string | null }) {
  return (
    <div className={styles.page}>
      <ProductSearch
        action="Show"
        onProduct={(productId) => {
          navigate(productPath(productId));
        }}
      />
      {id === null ? <BestSelling /> : <Shown key={id} productId={id} />}
    </div>
  );
}

function BestSelling() {
  const money = useMoney();
  const { data, error, retry } = useFigures("best-selling", (signal) => api.top("products", BEST, signal));
  return (
    <Panel title="Best-selling products" note="by revenue since the beginning; pick one">
      {data === undefined && (error ? <Failed error={error} retry={retry} /> : <Loading label="Loading products" />)}
      {data?.length === 0 && <Empty>Nothing has been sold yet.</Empty>}
      <ol className={styles.best}>
        {data?.map(({ id, name, category_code, brand, revenue, quantity }) => (
          <li key={id}>
            <Link to={productPath(id)}>
              {productTitle({ product_id: id, product_name: name, category_code, brand })}
            </Link>
            <span className="id">{id}</span>
            <span className="number">{formatCount(quantity)} pieces</span>
            <span className="number">{money.exact(revenue)}</span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

function Shown({ productId }: { productId: string }) {
  const product = useFigures(`product:${productId}`, (signal) => productOrNull(productId, signal));
  const version = useLive((state) => state.snapshot?.summary.model_version ?? null);
  if (product.data === undefined) {
    return (
      <div className={styles.waiting}>
        {product.error ? <Failed error={product.error} retry={product.retry} /> : <Loading label="Loading the product" />}
      </div>
    );
  }
  if (product.data === null) {
    return (
      <Empty>
        <p data-testid="unknown-product">
          No purchase of product <span className="id">{productId}</span> is known.
        </p>
      </Empty>
    );
  }
  return (
    <>
      <ProductFacts product={product.data} />
      <ProductSales productId={productId} />
      <Related product={product.data} key={version} />
    </>
  );
}

function Related({ product }: { product: Product }) {
  const { product_id: productId } = product;
  const similar = useQuery(`similar:${productId}`, (signal) => api.similar(productId, EACH, signal));
  const together = { ...similar, data: similar.data && { ...similar.data, items: similar.data.complements } };
  const titleOf = (id: string): string | null => (id === productId ? productTitle(product) : null);
  return (
    <>
      <Panel title="Substitutes" note="what meets the same need">
        <Recommended answer={similar} titleOf={titleOf} empty="No product is known to be like this one." />
      </Panel>
      <Panel title="Bought together" note="other kinds of products in the same orders">
        <Recommended answer={together} titleOf={titleOf} empty="No product is known to be bought with this one." />
      </Panel>
    </>
  );
}

async function productOrNull(productId: string, signal: AbortSignal): Promise<Product | null> {
  try {
    return await api.product(productId, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

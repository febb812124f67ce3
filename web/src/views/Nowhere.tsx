import { Link } from "../router/Link";
import { Empty } from "../ui/Panel";

/** The answer to an address that is none of the page's. */
export function Nowhere() {
  return (
    <Empty>
      <p>There is no page at this address.</p>
      <p>
        <Link to="/">Back to the figures</Link>
      </p>
    </Empty>
  );
}

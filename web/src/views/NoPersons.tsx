import { useSession } from "../live/SessionContext";
import { Link } from "../router/Link";
import { Empty } from "../ui/Panel";

/** The answer to the address of a customer, for a role that sees none. */
export function NoPersons() {
  const { role } = useSession();
  return (
    <Empty>
      <p>The role {role} does not include customers.</p>
      <p>
        <Link to="/">Back to the figures</Link>
      </p>
    </Empty>
  );
}

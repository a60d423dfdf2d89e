"""From a merge policy, which names datasets by id, to the rule that merging follows."""

from headrace.catalog.datasets import Catalog
from headrace.model import Sandbox
from headrace.profile.merge import MergeRule
from headrace.profile.policies import MergePolicies, MergePolicy


class PolicyRules:
    """Gives the merge rules of a sandbox's policies."""

    def __init__(self, policies: MergePolicies, catalog: Catalog) -> None:
        self._policies = policies
        self._catalog = catalog

    def default(self, sandbox: Sandbox) -> MergeRule:
        """Return the rule of the sandbox's default policy."""
        return self.of(sandbox, self._policies.default(sandbox))

    def of_id(self, sandbox: Sandbox, policy_id: str) -> MergeRule:
        """Return the rule of a policy; of the default one when the id is empty."""
        return self.of(sandbox, self._policies.policy(sandbox, policy_id)) if policy_id else self.default(sandbox)

    def of(self, sandbox: Sandbox, policy: MergePolicy) -> MergeRule:
        """Return the rule of a policy."""
        precedence = None
        if policy.attribute_merge == "dataSetPrecedence":
            numbers = {item.id: item.number for item in self._catalog.datasets(sandbox)}
            precedence = tuple(numbers[item] for item in policy.order if item in numbers)
        return MergeRule(precedence, policy.graph != "none")

using Mesh.ControlPlane.Sources.Registry.Checks;

namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>
/// A change in the making: operations applied one after the other to a copy of the state, published as a whole or not at all.
/// Operations that can fail answer null when done, else what is wrong in Consul's words. Used by one thread, under the store's lock.
/// </summary>
internal sealed partial class RegistryDraft(RegistryState before, LockDelays lockDelays)
{
    private readonly HashSet<Topic> topics = [];
    private readonly HashSet<string> agentChecks = new(StringComparer.Ordinal);
    private readonly HashSet<string> sessions = new(StringComparer.Ordinal);
    private readonly List<(string Key, TimeSpan Delay)> delays = [];

    /// <summary>The state with what was done so far.</summary>
    public RegistryState State { get; private set; } = before;

    /// <summary>The index that everything changed here gets.</summary>
    public ulong Index { get; } = before.Index + 1;

    public bool IsChanged => topics.Count > 0 || agentChecks.Count > 0;

    public bool IsRejected { get; private set; }

    public IReadOnlyCollection<Topic> Topics => topics;

    public IReadOnlyCollection<string> TouchedAgentChecks => agentChecks;

    public IReadOnlyCollection<string> TouchedSessions => sessions;

    /// <summary>Nothing of this change will be kept.</summary>
    public void Reject() => IsRejected = true;

    public RegistryState Finish() => State with { Index = Index };

    public void StartLockDelays()
    {
        foreach (var (key, delay) in delays) lockDelays.Start(key, delay);
    }

    /// <summary>Records that this agent (rather than somebody through the catalog) registered the service.</summary>
    public void OwnService(string id) => State = State with { AgentServices = State.AgentServices.Add(id) };

    /// <summary>Records a check that this agent runs; its state is set apart, by <see cref="SetCheck"/>.</summary>
    public void OwnCheck(CheckDefinition check)
    {
        State = State with { AgentChecks = State.AgentChecks.SetItem(check.CheckId, check) };
        agentChecks.Add(check.CheckId);
    }

    private void DisownCheck(string id)
    {
        if (!State.AgentChecks.ContainsKey(id)) return;
        State = State with { AgentChecks = State.AgentChecks.Remove(id) };
        agentChecks.Add(id);
    }
}

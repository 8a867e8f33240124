namespace Mesh.ControlPlane.Sources.Registry.Store;

/// <summary>The operations on sessions.</summary>
internal sealed partial class RegistryDraft
{
    /// <summary>Begins a session: its node must be there and none of its checks critical.</summary>
    public string? BeginSession(SessionEntry session)
    {
        if (!State.Nodes.TryGetValue(session.Node, out var node)) return "Missing node registration";
        foreach (var id in session.NodeChecks.Concat(session.ServiceChecks))
        {
            if (!node.Checks.TryGetValue(id, out var check)) return $"Missing check '{id}' registration";
            if (check.Status == CheckStatus.Critical) return $"Check '{id}' is in critical state";
        }

        session = session with { Node = node.Name, CreateIndex = Index, ModifyIndex = Index };
        State = State with { Sessions = State.Sessions.Add(session.Id, session), SessionsIndex = Index };
        TouchSession(session.Id);
        return null;
    }

    /// <summary>Ends a session: the locks it holds are released or their keys removed, and nobody may take them during its lock delay.</summary>
    public void EndSession(string id)
    {
        if (!State.Sessions.TryGetValue(id, out var session)) return;
        State = State with { Sessions = State.Sessions.Remove(id), SessionsIndex = Index };
        TouchSession(id);
        foreach (var entry in State.Kv.Entries.Where(e => e.Session == id).ToArray())
        {
            delays.Add((entry.Key, session.LockDelay));
            if (session.DeletesKeys) RemoveKey(entry.Key);
            else PutKey(entry with { Session = "" });
        }
    }

    private void EndSessions(Func<SessionEntry, bool> which)
    {
        foreach (var session in State.Sessions.Values.Where(which).ToArray()) EndSession(session.Id);
    }

    private void EndSessionsOf(string node, string check) => EndSessions(s =>
        s.Node.Equals(node, StringComparison.OrdinalIgnoreCase) && (s.NodeChecks.Contains(check) || s.ServiceChecks.Contains(check)));

    private void TouchSession(string id)
    {
        topics.Add(Topic.Sessions);
        sessions.Add(id);
    }
}

using System.Collections.Immutable;
using Mesh.ControlPlane.Compilation;

namespace Mesh.ControlPlane.Xds;

/// <summary>
/// What one client asked for of one type on one stream, what it was brought up to, and the response it has not answered yet.
/// Pure state, no I/O; used by one <see cref="StreamState"/> under its owner's lock, gone with the stream.
/// </summary>
internal sealed class Subscription(ResourceKind kind)
{
    private const string AnyName = "*";

    // gRPC libraries refuse messages of more than 4 MiB. What does not fit follows after the ACK. Half of it leaves room for what a client may add.
    private const int LargestResponse = 2 * 1024 * 1024;

    // Names to send even when unchanged: newly asked for, or whose cluster was sent again (Envoy warms it and waits for these).
    private readonly HashSet<string> owed = new(StringComparer.Ordinal);

    // Names of a refused response of several resources, of which perhaps one was bad. With the next version, never before,
    // each goes out again alone: so the good ones arrive, and the bad one spoils no other.
    private readonly HashSet<string> doubtful = new(StringComparer.Ordinal);
    private string doubtfulSince = "";
    private HashSet<string> names = new(StringComparer.Ordinal);
    private bool named;
    private bool wildcard;
    private bool mustAnswer;

    /// <summary>The type.</summary>
    public ResourceKind Kind => kind;

    /// <summary>The set the client was last brought up to; with <see cref="owed"/> it says what the client has.</summary>
    public ResourceSet Known { get; private set; } = ResourceSet.Empty;

    /// <summary>The response that waits for ACK or NACK, or null. There is never a second one.</summary>
    public SentResponse? InFlight { get; private set; }

    /// <summary>The last response sent.</summary>
    public SentResponse? Last { get; private set; }

    /// <summary>Version of the last ACK.</summary>
    public string Acked { get; private set; } = "";

    /// <summary>Version of the last NACK, empty after an ACK.</summary>
    public string Nacked { get; private set; } = "";

    /// <summary>The client's words for the last NACK, empty after an ACK.</summary>
    public string Error { get; private set; } = "";

    /// <summary>When the last NACK came.</summary>
    public DateTimeOffset? NackedAt { get; private set; }

    /// <summary>Names asked for, without the wildcard; they need not exist.</summary>
    public IReadOnlyCollection<string> Names => names;

    /// <summary>True when everything of the type is asked for.</summary>
    public bool Wildcard => wildcard;

    /// <summary>
    /// Replaces the set of names. Empty from the start is the legacy wildcard (LDS and CDS); empty after names unsubscribes from
    /// all; <c>*</c> is the wildcard and may stand beside names.
    /// </summary>
    public void Resubscribe(IReadOnlyCollection<string> requested)
    {
        var first = Last is null && InFlight is null && !named && !wildcard;
        var before = (names, wildcard);
        named |= requested.Count > 0;
        names = requested.Where(n => n != AnyName).ToHashSet(StringComparer.Ordinal);
        wildcard = requested.Contains(AnyName) || (!named && kind.WholeSet);
        var added = names.Where(n => !before.names.Contains(n)).ToList();
        owed.UnionWith(added);
        if (wildcard && !before.wildcard) owed.UnionWith(Known.Items.Select(r => r.Name));
        owed.RemoveWhere(n => !Wants(n));
        // A whole-set answer is due even when it is empty: an empty list is the only way to say "there is none".
        mustAnswer |= kind.WholeSet && (first || added.Count > 0 || (wildcard && !before.wildcard));
    }

    /// <summary>Is this name asked for?</summary>
    public bool Wants(string name) => wildcard || names.Contains(name);

    /// <summary>Says that a resource must be sent again although it did not change.</summary>
    public void Owe(string name)
    {
        if (Wants(name)) owed.Add(name);
    }

    /// <summary>True when nothing of <paramref name="target"/> is left to be sent or answered and the last answer was no refusal.</summary>
    public bool IsSettled(ResourceSet target) =>
        InFlight is null && Nacked.Length == 0 && !mustAnswer && Due(target).IsEmpty && Doubtful(target) is null;

    /// <summary>True when <paramref name="target"/> brings a change of something the client already has (and not only names it newly asked for).</summary>
    public bool HasChange(ResourceSet target) =>
        SetDifference.Between(Known, target).Any(c => Wants(c.Name) && (c.After is not null || kind.WholeSet));

    /// <summary>
    /// The resources of the next response on the way to <paramref name="target"/>, or null when there is nothing to say.
    /// The caller sends it under the nonce it gave.
    /// </summary>
    public SentResponse? Take(ResourceSet target, string nonce, DateTimeOffset now)
    {
        if (InFlight is not null) return null;
        var due = Due(target);
        if (due.IsEmpty && !mustAnswer && Doubtful(target) is { } again) due = [again];

        if (due.IsEmpty && !mustAnswer)
        {
            // Nothing asked for differs. What is gone of a partial type needs no word: its parents no longer name it.
            Known = target;
            return null;
        }

        // Only a partial type may be sent in parts: of a whole set, what a response lacks is removed.
        var part = kind.WholeSet ? due : First(due);
        InFlight = Last = new SentResponse(nonce, target.Version, kind.WholeSet ? Wanted(target) : part, now);
        doubtful.ExceptWith(part.Select(r => r.Name));
        Known = target;
        mustAnswer = false;
        owed.Clear();
        owed.UnionWith(due.Skip(part.Length).Select(r => r.Name));
        return InFlight;
    }

    /// <summary>The client took the response in flight.</summary>
    public void Ack()
    {
        Acked = InFlight!.Version;
        Nacked = Error = "";
        NackedAt = null;
        InFlight = null;
    }

    /// <summary>The client refused the response in flight and stays with what it had.</summary>
    public void Nack(string reason, DateTimeOffset now)
    {
        Nacked = InFlight!.Version;
        Error = reason;
        NackedAt = now;
        if (!kind.WholeSet && InFlight.Resources.Length > 1)
        {
            doubtful.UnionWith(InFlight.Resources.Select(r => r.Name));
            doubtfulSince = Nacked;
        }

        InFlight = null;
    }

    // What makes a response necessary. For whole sets a removal does too; it is marked by an entry that is not sent itself.
    private ImmutableArray<Resource> Due(ResourceSet target)
    {
        if (ReferenceEquals(Known, target) && owed.Count == 0) return [];
        var due = new SortedDictionary<string, Resource>(StringComparer.Ordinal);
        foreach (var change in SetDifference.Between(Known, target))
        {
            if (!Wants(change.Name)) continue;
            if (change.After is not null) due[change.Name] = change.After;
            else if (kind.WholeSet) due[change.Name] = change.Before!;
        }

        foreach (var name in owed)
        {
            if (target.TryGet(name, out var resource)) due[name] = resource;
        }

        return [.. due.Values];
    }

    // As many as fit into one response, at least one.
    private static ImmutableArray<Resource> First(ImmutableArray<Resource> due)
    {
        var size = 0L;
        var count = 0;
        while (count < due.Length && (count == 0 || size + due[count].Body.Value.Length <= LargestResponse)) size += due[count++].Body.Value.Length;
        return due[..count];
    }

    private ImmutableArray<Resource> Wanted(ResourceSet target) =>
        wildcard ? target.Items : [.. target.Items.Where(r => names.Contains(r.Name))];

    private Resource? Doubtful(ResourceSet target)
    {
        if (doubtful.Count == 0 || target.Version == doubtfulSince) return null;
        doubtful.RemoveWhere(n => !Wants(n) || !target.TryGet(n, out _));
        return doubtful.Count > 0 && target.TryGet(doubtful.First(), out var resource) ? resource : null;
    }
}

/// <summary>A response as it was sent. Immutable.</summary>
internal sealed record SentResponse(string Nonce, string Version, ImmutableArray<Resource> Resources, DateTimeOffset At);

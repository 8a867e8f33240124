using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Dns;

/// <summary>What is to change in the book of addresses: names that have none get some, names in use stay fresh, names long unused are dropped. Pure.</summary>
internal static class AddressPlan
{
    /// <summary>No address is given to another name earlier than this after a control plane last had its service.</summary>
    public static readonly TimeSpan Quarantine = TimeSpan.FromHours(24);

    /// <summary>How old the note may be that a name is in use.</summary>
    public static readonly TimeSpan Freshness = TimeSpan.FromHours(6);

    // A note may be that much older than the last use.
    private static readonly TimeSpan Lease = Quarantine + Freshness;
    private static readonly TimeSpan SoonOver = TimeSpan.FromHours(1);

    /// <summary>The next book; the same object when nothing is to change.</summary>
    /// <param name="book">The book as it is.</param>
    /// <param name="wanted">Names of the services that should have an address.</param>
    /// <param name="terms">What holds now.</param>
    public static AddressBook Next(AddressBook book, IReadOnlySet<ServiceName> wanted, PlanTerms terms)
    {
        var leases = book.Leases.ToBuilder();
        var isChanged = KeepLeases(book, leases, wanted, terms);
        var choices = new[] { AddressChoice.Of(terms.Ranges, AddressFamily.InterNetwork), AddressChoice.Of(terms.Ranges, AddressFamily.InterNetworkV6) };
        var lacking = wanted.Where(name => !HasAll(leases, name, choices, terms.MayReplace)).Order().ToArray();
        if (lacking.Length == 0) return isChanged ? new AddressBook(leases.ToImmutable()) : book;

        var taken = leases.Values.SelectMany(lease => lease.Addresses).ToHashSet();
        foreach (var name in lacking)
        {
            var had = leases.TryGetValue(name, out var lease) ? lease.Addresses : [];
            var has = Choose(name, had, choices, taken, terms.MayReplace);
            if (has.SequenceEqual(had)) continue;
            leases[name] = new AddressLease(has, terms.Now);
            isChanged = true;
        }

        return isChanged ? new AddressBook(leases.ToImmutable()) : book;
    }

    private static bool KeepLeases(AddressBook book, ImmutableSortedDictionary<ServiceName, AddressLease>.Builder leases, IReadOnlySet<ServiceName> wanted, PlanTerms terms)
    {
        var isChanged = false;
        foreach (var (name, lease) in book.Leases)
        {
            var age = terms.Now - lease.Used;
            if (wanted.Contains(name))
            {
                if (age <= Freshness) continue;
                leases[name] = lease with { Used = terms.Now };
            }
            else if (age > Lease - SoonOver && terms.SomebodyLags()) leases[name] = lease with { Used = terms.Now - Lease + (2 * SoonOver) };
            else if (age > Lease && terms.MayDrop) leases.Remove(name);
            else continue;
            isChanged = true;
        }

        return isChanged;
    }

    private static bool HasAll(ImmutableSortedDictionary<ServiceName, AddressLease>.Builder leases, ServiceName name, AddressChoice[] choices, bool mayReplace)
    {
        if (!leases.TryGetValue(name, out var lease)) return false;
        // Out of the ranges is as good as none once it may be replaced.
        var missing = choices.Count(choice => choice.Total > 0 && !lease.Addresses.Any(choice.Contains));
        return missing == 0 || (!mayReplace && lease.Addresses.Length >= choices.Count(choice => choice.Total > 0));
    }

    /// <summary>The addresses of a book that lie in the ranges: others are of a time when the ranges were different, or not ours at all.</summary>
    public static IEnumerable<KeyValuePair<ServiceName, ImmutableArray<IPAddress>>> Valid(AddressBook book, ImmutableArray<IPNetwork> ranges)
    {
        var choice = new AddressChoice(ranges);
        foreach (var (name, lease) in book.Leases)
            if (lease.Addresses.Where(choice.Contains).ToImmutableArray() is { IsEmpty: false } addresses) yield return new(name, addresses);
    }

    private static ImmutableArray<IPAddress> Choose(ServiceName name, ImmutableArray<IPAddress> had, AddressChoice[] choices, HashSet<IPAddress> taken, bool mayReplace)
    {
        var has = ImmutableArray.CreateBuilder<IPAddress>(2);
        foreach (var (choice, family) in choices.Zip([AddressFamily.InterNetwork, AddressFamily.InterNetworkV6]))
        {
            var old = had.FirstOrDefault(address => address.AddressFamily == family);
            // Two control planes with different ranges must not take turns.
            if (old is not null && (choice.Contains(old) || !mayReplace)) has.Add(old);
            else if (choice.For(name, taken.Contains, taken.Count) is { } found && taken.Add(found)) has.Add(found);
        }

        return has.ToImmutable();
    }
}

/// <summary>What a plan goes by. Immutable.</summary>
/// <param name="Ranges">Where addresses come from, of both families.</param>
/// <param name="Now">The time.</param>
internal sealed record PlanTerms(ImmutableArray<IPNetwork> Ranges, DateTimeOffset Now)
{
    /// <summary>True when this control plane has known all services for a while: what it does not know nobody needs.</summary>
    public bool MayDrop { get; init; }

    /// <summary>True while a connected sidecar may still know addresses that were taken back.</summary>
    public Func<bool> SomebodyLags { get; init; } = () => false;

    /// <summary>True when addresses out of the ranges are to be replaced.</summary>
    public bool MayReplace { get; init; }
}

using System.Collections.Frozen;
using System.Collections.Immutable;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Dns;

/// <summary>
/// Gives every service that has no address a virtual one, for good: in a book that all control planes of the store share, changed by compare and
/// swap, so that of those that give out at one moment one does and the others see it. Writes its slice of the world. The store does not stand in the
/// way of what was given out before. Thread safe; its owner runs <see cref="RunAsync"/> once.
/// </summary>
internal sealed class AddressKeeper : IDisposable
{
    /// <summary>What the book is called in the store.</summary>
    public const string BookName = Folder + "/addresses";

    /// <summary>How often is looked whether something is over.</summary>
    public static readonly TimeSpan LookEvery = TimeSpan.FromMinutes(10);

    private const string Folder = "book";
    private const string Slice = "addresses";
    private const int MostTries = 100;
    private const int MostNotices = 20;
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan CompleteFor = TimeSpan.FromHours(1);

    private readonly IAuthorityStore store;
    private readonly WorldStore world;
    private readonly KeeperTerms terms;
    private readonly TimeProvider time;
    private readonly Random random;
    private readonly Log log;
    private readonly SemaphoreSlim wake = new(1, 1);
    private readonly TaskCompletionSource loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private (AddressBook Book, StoredEntry? Entry)? known;
    private ImmutableArray<ServiceName> without = [];
    private volatile bool isStale = true;
    private string trouble = "";
    private long? completeSince;
    private long lastReplaced = long.MinValue;

    /// <summary>A keeper; from now on the world's addresses are unknown until the book was read.</summary>
    public AddressKeeper(IAuthorityStore store, WorldStore world, KeeperTerms terms, (TimeProvider Time, Random Random) clock, Log log)
    {
        (this.store, this.world, this.terms, (time, random), this.log) = (store, world, terms, clock, log);
        world.SetVirtual(VirtualAddresses.Unknown);
        world.Changed += OnWorld;
    }

    /// <summary>Done when what was given out before is in the world.</summary>
    public Task Loaded => loaded.Task;

    /// <summary>Runs until <paramref name="stop"/>.</summary>
    public Task RunAsync(CancellationToken stop) => Loops.RunAsync(stop, KeepAsync, FollowAsync, TickAsync);

    /// <inheritdoc/>
    public void Dispose()
    {
        world.Changed -= OnWorld;
        wake.Dispose();
    }

    private void OnWorld(World _) => Wake();

    private void Wake()
    {
        // One pending wake is enough; who loses this race was woken by the winner.
        if (wake.CurrentCount == 0) ReleaseOnce();
    }

    private void ReleaseOnce()
    {
        try
        {
            wake.Release();
        }
        catch (Exception e) when (e is SemaphoreFullException or ObjectDisposedException)
        {
            // Already awake, or at the end.
        }
    }

    private async Task KeepAsync(CancellationToken stop)
    {
        while (true)
        {
            await wake.WaitAsync(stop);
            await Task.Delay(Quiet, time, stop);
            try
            {
                await TakeTurnAsync(stop);
                Recover();
            }
            catch (StoreException e)
            {
                Complain(e.Message);
                isStale = true;
                await Task.Delay(RetryAfter, time, stop);
                Wake();
            }
        }
    }

    private async Task TickAsync(CancellationToken stop)
    {
        while (true)
        {
            await Task.Delay(LookEvery, time, stop);
            Wake();
        }
    }

    /// <summary>Reads what others write.</summary>
    private async Task FollowAsync(CancellationToken stop)
    {
        string? mark = null;
        while (true)
        {
            try
            {
                var next = await store.WaitAsync(Folder, mark, stop);
                if (next != mark) isStale = true;
                if (next != mark) Wake();
                mark = next;
            }
            catch (StoreException)
            {
                // The other loop says so: it cannot read either.
                mark = null;
                await Task.Delay(RetryAfter, time, stop);
            }
        }
    }

    private async Task TakeTurnAsync(CancellationToken stop)
    {
        for (var tries = 0; ; tries++)
        {
            if (isStale || known is null)
            {
                isStale = false;
                var entry = await store.ReadAsync(BookName, stop);
                if (entry is null || known?.Entry?.Version != entry.Version) known = (entry is null ? AddressBook.Empty : Read(entry), entry);
                Publish();
            }

            var (book, seen) = known!.Value;
            var now = PlanTermsOf();
            var wanted = world.Current.Services.Values.Where(service => service.NeedsAddress).Select(service => service.Name).ToHashSet();
            var next = AddressPlan.Next(book, wanted, now);
            if (now.MayReplace) lastReplaced = time.GetTimestamp();
            if (ReferenceEquals(next, book) || await TryWriteAsync(seen, next, stop))
            {
                Explain(wanted, next);
                return;
            }

            if (tries >= MostTries) throw new StoreException($"the book of addresses in {store.Place} is changed by others all the time");
            isStale = true;
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(1, 20 + (10 * tries))), time, stop);
        }
    }

    private AddressBook Read(StoredEntry entry)
    {
        try
        {
            return AddressBook.Read(entry.Content);
        }
        catch (FormatException e)
        {
            throw new StoreException($"the entry {entry.Name} in {store.Place} cannot be read: {e.Message}", e);
        }
    }

    private async Task<bool> TryWriteAsync(StoredEntry? seen, AddressBook next, CancellationToken stop)
    {
        var content = next.Write();
        var isWritten = seen is null ? await store.CreateAsync(BookName, content, stop) : await store.ReplaceAsync(seen, content, stop);
        if (!isWritten) return false;
        // The next turn reads its version; until then nothing is written over it.
        (known, isStale) = ((next, seen), true);
        Publish();
        Wake();
        return true;
    }

    private PlanTerms PlanTermsOf()
    {
        completeSince = !terms.IsComplete() ? null : completeSince ?? time.GetTimestamp();
        // Asked once a turn, and only when something is over: it looks at the configuration of every node.
        var somebodyLags = new Lazy<bool>(() => !terms.EverybodyKnows());
        return new PlanTerms(terms.Ranges, time.GetUtcNow())
        {
            MayDrop = completeSince is { } since && time.GetElapsedTime(since) >= CompleteFor,
            SomebodyLags = () => somebodyLags.Value,
            MayReplace = lastReplaced == long.MinValue || time.GetElapsedTime(lastReplaced) >= LookEvery,
        };
    }

    private void Publish()
    {
        var addresses = AddressPlan.Valid(known!.Value.Book, terms.Ranges)
            .ToFrozenDictionary(pair => pair.Key, pair => pair.Value.Select(address => address.ToString()).ToImmutableArray());
        var before = world.Current.Virtual;
        var isSame = before.IsKnown && before.ByService.Count == addresses.Count
            && addresses.All(pair => before.ByService.TryGetValue(pair.Key, out var old) && old.SequenceEqual(pair.Value));
        if (!isSame) world.SetVirtual(new VirtualAddresses(addresses, true));
        loaded.TrySetResult();
    }

    // What is odd is said where it is looked for, once while it lasts.
    private void Explain(HashSet<ServiceName> wanted, AddressBook book)
    {
        var families = terms.Ranges.Select(range => range.BaseAddress.AddressFamily).Distinct().Count();
        ImmutableArray<ServiceName> less = [.. wanted.Where(name => !book.Leases.TryGetValue(name, out var lease) || lease.Addresses.Length < families).Order()];
        if (less.SequenceEqual(without)) return;
        without = less;
        var ranges = string.Join(", ", terms.Ranges);
        if (!less.IsEmpty) log.Warn("the virtual ranges are exhausted", ("ranges", ranges), ("services", less.Length), ("first", less[0]), ("do", "give a larger --virtual-range"));
        Say([.. less.Take(MostNotices).Select(name => new Notice(new Provenance("Service", name.Namespace, name.Name, "--virtual-range"),
            $"{name} gets no virtual address of one family or both: the ranges {ranges} are exhausted, by {book.Taken.Count} addresses that are in use or were in the last {AddressPlan.Quarantine.TotalHours:0} hours; give a larger --virtual-range"))]);
    }

    private void Complain(string problem)
    {
        if (trouble == problem) return;
        trouble = problem;
        log.Error("virtual addresses cannot be given out; those that were hold on", ("error", problem));
        Say([new Notice(new Provenance("Mesh", "", "virtual addresses", store.Place), $"no new virtual addresses are given out: {problem}")]);
    }

    private void Recover()
    {
        if (trouble.Length == 0) return;
        (trouble, without) = ("", []);
        log.Info("virtual addresses are given out again");
        Say([]);
        Wake();
    }

    private void Say(ImmutableArray<Notice> notices) => world.SetNotices(Slice, notices);
}

/// <summary>What a keeper goes by. Immutable.</summary>
/// <param name="Ranges">Where addresses come from; at least one.</param>
internal sealed record KeeperTerms(ImmutableArray<System.Net.IPNetwork> Ranges)
{
    /// <summary>True while the world has all services there are, as far as sources can tell.</summary>
    public Func<bool> IsComplete { get; init; } = () => false;

    /// <summary>False while a connected sidecar may still know addresses that the newest configuration does not have.</summary>
    public Func<bool> EverybodyKnows { get; init; } = () => true;
}

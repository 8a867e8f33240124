using System.Net;
using Mesh.Api.Logging;
using Mesh.Api.V1;

namespace Mesh.Sidecar.Registration;

/// <summary>Asks the control plane, over a connection from that address, for a proof that it is ours.</summary>
internal delegate Task<AddressProof> ProveAddress(IPAddress from, CancellationToken cancel);

/// <summary>
/// The addresses a captured workload has beside the one it is called by: looked for again and again, since they come and go, and each proved by a
/// connection from there, again before the proof ends. What cannot be proved is told without proof: a join token may grant it. One loop; bounded.
/// </summary>
/// <param name="first">The address it is called by.</param>
/// <param name="find">All addresses of this machine or namespace.</param>
/// <param name="prove">Gets proofs.</param>
/// <param name="time">The clock.</param>
/// <param name="log">Where is said what cannot be proved.</param>
internal sealed class OwnAddresses(IPAddress first, Func<IReadOnlyCollection<IPAddress>> find, ProveAddress prove, TimeProvider time, Log log)
{
    /// <summary>Most addresses that are told beside the first one.</summary>
    public const int Most = 7;

    /// <summary>How often is looked.</summary>
    public static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan ProveAgain = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan TryAgain = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private readonly Dictionary<IPAddress, (OwnAddress Told, long Due)> known = [];
    private volatile IReadOnlyList<OwnAddress> current = [];

    /// <summary>The addresses with their proofs; another object when something changed.</summary>
    public IReadOnlyList<OwnAddress> Current => current;

    /// <summary>Looks until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await LookAsync(stop);
            await Task.Delay(LookEvery, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task LookAsync(CancellationToken stop)
    {
        var there = find().Where(address => !address.Equals(first)).Take(Most).ToList();
        var changed = known.Keys.Except(there).ToList().Count(known.Remove) > 0;
        foreach (var address in there)
        {
            var before = known.TryGetValue(address, out var told);
            if (before && time.GetTimestamp() < told.Due) continue;
            known[address] = await ProveAsync(address, told.Told, stop);
            if (stop.IsCancellationRequested) return;
            changed |= !before || !known[address].Told.Equals(told.Told);
        }

        if (changed) current = [.. known.OrderBy(pair => pair.Key.ToString(), StringComparer.Ordinal).Select(pair => pair.Value.Told)];
    }

    private async Task<(OwnAddress Told, long Due)> ProveAsync(IPAddress address, OwnAddress? before, CancellationToken stop)
    {
        var problem = "";
        try
        {
            using var bound = new CancellationTokenSource(Patience, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, bound.Token);
            var proof = await prove(address, either.Token);
            if (proof.Address == address.ToString()) return (new OwnAddress { Address = proof.Address, Proof = proof.Proof }, Due(ProveAgain));
            problem = $"the control plane sees it as {proof.Address}";
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            problem = e.Message;
        }

        // Said once; what was proved before holds until it ends.
        // No warning: the control plane says what does not count because of it.
        if (before is null) log.Info("an address cannot be proved by a connection from it: calls to it are of the mesh only if the join token grants it", ("address", address), ("reason", problem));
        return (before ?? new OwnAddress { Address = address.ToString() }, Due(TryAgain));
    }

    private long Due(TimeSpan after) => time.GetTimestamp() + (long)(after.TotalSeconds * time.TimestampFrequency);
}

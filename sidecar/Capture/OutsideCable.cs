using System.Net;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Another machine, for a moment: a network namespace of one thread, joined to this one by a cable (veth). Everything goes away with the thread.
/// </summary>
internal sealed class OutsideCable(bool ipv6)
{
    private readonly string here = $"mc{Environment.ProcessId}h";
    private readonly string there = $"mc{Environment.ProcessId}t";

    /// <summary>
    /// Runs <paramref name="connect"/> outside for an address of this side in each family, and what it returns on this side.
    /// </summary>
    public List<Finding> FromOutside(Func<AddressFamily, IPAddress, Func<Finding>> connect)
    {
        using var plugged = new ManualResetEventSlim();
        using var looked = new ManualResetEventSlim();
        var outside = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var results = new TaskCompletionSource<List<Func<Finding>>>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = Task.Run(() => ProbeThread.RunOutside(id =>
        {
            outside.SetResult(id);
            plugged.Wait();
            if (!looked.IsSet) results.SetResult(Connections(connect));
            looked.Wait();
            return "";
        }) is null ? outside.TrySetResult(0) : true);
        try
        {
            if (outside.Task.GetAwaiter().GetResult() is var id && id == 0) return [Finding.Note("inbound is not proved by a connection: that takes CAP_SYS_ADMIN, for a network namespace to connect from")];
            if (Plug(id) is { } trouble) return [Finding.Note($"inbound is not proved by a connection: no virtual cable can be made here ({trouble})")];
            plugged.Set();
            return [.. results.Task.GetAwaiter().GetResult().Select(look => look())];
        }
        finally
        {
            looked.Set();
            plugged.Set();
            thread.GetAwaiter().GetResult();
            ExternalCommand.Run("ip", ["link", "del", here]);
        }
    }

    private List<Func<Finding>> Connections(Func<AddressFamily, IPAddress, Func<Finding>> connect)
    {
        // Started by this thread, so in its namespace.
        foreach (var line in (string[])[$"link set lo up", $"link set {there} up", $"addr add 169.254.133.2/30 dev {there}"]) ExternalCommand.Run("ip", line.Split(' '));
        var results = new List<Func<Finding>> { connect(AddressFamily.InterNetwork, IPAddress.Parse("169.254.133.1")) };
        if (!ipv6) return results;
        ExternalCommand.Run("ip", $"addr add fd6d:6573:6801::2/64 dev {there} nodad".Split(' '));
        results.Add(connect(AddressFamily.InterNetworkV6, IPAddress.Parse("fd6d:6573:6801::1")));
        return results;
    }

    /// <summary>This side of the cable; what went wrong, or null.</summary>
    private string? Plug(int outside)
    {
        string[] lines =
        [
            $"link add {here} type veth peer name {there} netns {outside}", $"link set {here} up", $"addr add 169.254.133.1/30 dev {here}",
            .. ipv6 ? [$"addr add fd6d:6573:6801::1/64 dev {here} nodad"] : Array.Empty<string>(),
        ];
        return lines.Select(line => ExternalCommand.Run("ip", line.Split(' '))).Where(r => r.ExitCode != 0).Select(r => r.Error.Trim()).FirstOrDefault();
    }
}

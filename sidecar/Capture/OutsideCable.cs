using System.Collections.Concurrent;
using System.Net;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Another machine, for a moment: a network namespace of one thread, joined to this one by a cable (veth). Everything goes away with the thread.
/// </summary>
internal sealed class OutsideCable(bool ipv6)
{
    private static readonly (string Family, string Here, string There, string Length)[] Addresses =
        [("IPv4", "169.254.133.1", "169.254.133.2", "30"), ("IPv6", "fd6d:6573:6801::1", "fd6d:6573:6801::2", "64")];

    private readonly BlockingCollection<Action> errands = [];
    private readonly string here = $"mc{Environment.ProcessId}h";
    private readonly string there = $"mc{Environment.ProcessId}t";

    /// <summary>Calls <paramref name="look"/> for an address of this side in each family, with what runs an attempt outside.</summary>
    public List<Finding> FromOutside(Func<Func<Func<Attempt>, Attempt>, IPAddress, Finding> look)
    {
        var outside = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = Task.Run(() => ProbeThread.RunOutside(id =>
        {
            outside.SetResult(id);
            foreach (var errand in errands.GetConsumingEnumerable()) errand();
            return "";
        }) is null ? outside.TrySetResult(0) : true);
        try
        {
            if (outside.Task.GetAwaiter().GetResult() is var id && id == 0) return [Finding.Note("inbound is not proved by a connection: that takes CAP_SYS_ADMIN, for a network namespace to connect from")];
            if (Ip($"link add {here} type veth peer name {there} netns {id}", $"link set {here} up") is { } trouble) return [Finding.Note($"inbound is not proved by a connection: no virtual cable can be made here ({trouble})")];
            Outside(() => Ip("link set lo up", $"link set {there} up"));
            return [.. Addresses.Take(ipv6 ? 2 : 1).Select(a => Plug(a.Family, a.Here, a.There, a.Length) is { } unplugged ? unplugged : look(Outside, IPAddress.Parse(a.Here)))];
        }
        finally
        {
            errands.CompleteAdding();
            thread.GetAwaiter().GetResult();
            Ip($"link del {here}");
        }
    }

    private Finding? Plug(string family, string near, string far, string length)
    {
        // Nobody else can have them: no waiting for the detection of duplicates.
        var more = family == "IPv6" ? " nodad" : "";
        var trouble = Ip($"addr add {near}/{length} dev {here}{more}") ?? Outside(() => Ip($"addr add {far}/{length} dev {there}{more}"));
        return trouble is null ? null : Finding.Note($"inbound {family} is not proved by a connection: {trouble}");
    }

    /// <summary>Does something on the thread outside.</summary>
    private T Outside<T>(Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        errands.Add(() =>
        {
            try
            {
                done.SetResult(work());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        return done.Task.GetAwaiter().GetResult();
    }

    /// <summary>What went wrong first; null when nothing did. Started by a thread, <c>ip</c> is in its namespace.</summary>
    private static string? Ip(params string[] commands) =>
        commands.Select(c => ExternalCommand.Run("ip", c.Split(' '))).Where(r => r.ExitCode != 0).Select(r => r.Error.Trim()).FirstOrDefault();
}

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Who opens the connections of a check: somebody whose traffic the rules capture, which the user that runs the check may well not be. Used once, on one
/// thread.
/// </summary>
internal sealed class CapturedSender
{
    private static readonly uint[] Nobodies = [65534, 65533, 65532];
    private readonly uint? uid;
    private readonly uint? gid;

    /// <summary>Chooses the user and group.</summary>
    public CapturedSender(CaptureOptions options)
    {
        var left = options.ExcludeUids.Append(options.ProxyUid).ToHashSet();
        var (ownUid, ownGid) = ProbeThread.Self;
        if (options.OnlyUids.Length > 0) uid = options.OnlyUids.First(id => !left.Contains(id));
        else if (left.Contains(ownUid)) uid = Nobodies.Concat(Enumerable.Range(1, left.Count + 1).Select(id => (uint)id)).First(id => !left.Contains(id));
        if (ownGid == options.ProxyGid) gid = Nobodies.First(id => id != options.ProxyGid);
    }

    /// <summary>What keeps outbound connections from being tried; null when nothing does. Joins the cgroup for the rest of this process's short life.</summary>
    public Finding? Trouble(CaptureOptions options)
    {
        try
        {
            if (options.OnlyUids.Length == 0 && options.Cgroup is { } cgroup) Join(cgroup);
            return As(() => (Finding?)null);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Finding.Broken($"outbound cannot be tried: this process cannot join the cgroup {options.Cgroup} ({e.Message})");
        }
        catch (CaptureException e)
        {
            return Finding.Note($"outbound is not proved by connections: {e.Message}");
        }
    }

    /// <summary>Does something, on a thread of its own, as that user.</summary>
    public T As<T>(Func<T> work) => ProbeThread.RunAs(uid, gid, work);

    private static void Join(string cgroup)
    {
        var root = File.Exists("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
        File.WriteAllText(Path.Combine(root, cgroup, "cgroup.procs"), "0");
    }
}

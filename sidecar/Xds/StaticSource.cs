using Mesh.Api.Logging;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;

namespace Mesh.Sidecar.Xds;

/// <summary>
/// Serves from a file of resources and reads it again when it changes; a bad change is reported and the last good file serves on.
/// One task, started and awaited by Program.
/// </summary>
internal sealed class StaticSource(string path, SnapshotPublisher publisher, TimeProvider time, Log log)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);
    private (DateTime Written, long Length) seen;
    private volatile bool asked;

    /// <summary>Reads for the first time; the errors, if any, end the program.</summary>
    public IReadOnlyList<string> Load()
    {
        seen = Stamp();
        var errors = new ConfigErrors { OfFile = true };
        var set = StaticFile.Read(path, errors);
        if (errors.Count == 0) publisher.Publish(set);
        return errors.Texts;
    }

    /// <summary>Has the file read again even if it looks the same. Safe from any thread.</summary>
    public void Reload() => asked = true;

    /// <summary>Watches until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(LookEvery, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stop.IsCancellationRequested || (!asked && Stamp() == seen)) continue;
            asked = false;
            var errors = Load();
            if (errors.Count == 0) log.Info("configuration read again", ("file", path));
            foreach (var error in errors) log.Error("bad configuration, the last good one serves on", ("error", error));
        }
    }

    private (DateTime Written, long Length) Stamp()
    {
        // A link that was exchanged (as Kubernetes does with mounted files) shows in what it leads to.
        var file = new FileInfo(path);
        if (file.LinkTarget is not null && file.ResolveLinkTarget(returnFinalTarget: true) is FileInfo target) file = target;
        return file.Exists ? (file.LastWriteTimeUtc, file.Length) : default;
    }
}

using System.Collections.Immutable;
using System.Threading.Channels;
using Mesh.Api.Logging;
using Mesh.Api.Xds;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules;

namespace Mesh.ControlPlane.Sources.Files;

/// <summary>
/// Writes the rules of a folder into the world, and again after each change. A set with an error is not taken: the last good one serves on,
/// whole, until the files are right again. Owned by the program, which runs <see cref="RunAsync"/> once; <see cref="Status"/> may be read
/// by any thread.
/// </summary>
internal sealed class FileSource : IDisposable
{
    /// <summary>A change is read when nothing changed for this long: editors write in several steps.</summary>
    public static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(50);

    /// <summary>A folder that never becomes quiet is read this long after the first change.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    /// <summary>The folder is looked at this often even when no change was announced: network and overlay file systems announce none.</summary>
    public static readonly TimeSpan ScanEvery = TimeSpan.FromSeconds(2);

    private readonly RuleFolder folder;
    private readonly string path;
    private readonly WorldStore store;
    private readonly TimeProvider time;
    private readonly Log log;
    private readonly RuleMetrics metrics;
    private readonly Channel<bool> announced = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly TaskCompletionSource firstGood = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile RuleStatus status;
    private string? fingerprint;
    private string? doubted;
    private bool isPartlyUnreadable;

    /// <summary>Makes a source for a folder; a <see cref="StartException"/> says when it cannot be read.</summary>
    public FileSource(string path, WorldStore store, TimeProvider time, Log log)
    {
        (this.path, this.store, this.time, this.log) = (path, store, time, log);
        folder = new RuleFolder(path, Shown(path));
        status = new RuleStatus { Folder = folder.ShownAs };
        metrics = new RuleMetrics(() => status);
        try
        {
            _ = Directory.EnumerateFileSystemEntries(path).Any();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"--rules {path}: the folder cannot be read: {e.Message}", e);
        }
    }

    /// <summary>How the files stand.</summary>
    public RuleStatus Status => status;

    /// <summary>Done when the first good set is in the world: before that, no configuration should be handed out.</summary>
    public Task FirstGood => firstGood.Task;

    /// <summary>Reads the folder now and after each change until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var watcher = Watch();
        while (true)
        {
            Load();
            await ChangeAsync(stop);
        }
    }

    /// <summary>Reads the folder if anything in it changed.</summary>
    public void Load()
    {
        try
        {
            var (newest, hasEmptyFile) = folder.Look();
            if (newest == fingerprint && !isPartlyUnreadable) return;

            // An editor or a copy truncates a file before it writes: an empty one is believed when the next look finds it so still.
            if (hasEmptyFile && newest != doubted && status.ServingSince is not null)
            {
                doubted = newest;
                return;
            }

            var (files, unreadable) = folder.Read();
            isPartlyUnreadable = unreadable.Length > 0;
            Take(files, RuleReader.Read(files), unreadable, isNews: newest != fingerprint);
            fingerprint = newest;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var isNews = fingerprint != "gone";
            fingerprint = "gone";
            Refuse([new RuleError(folder.ShownAs, 1, "", "the folder cannot be read: " + e.Message)], isNews);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => metrics.Dispose();

    private void Take(ImmutableArray<RuleFile> files, ParsedRules parsed, ImmutableArray<RuleError> unreadable, bool isNews)
    {
        var errors = unreadable.AddRange(parsed.Errors);
        if (errors.Length > 0)
        {
            Refuse(errors, isNews);
            return;
        }

        var version = ResourceVersion.OfSet(files.Select(file => KeyValuePair.Create(file.Path, Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(file.Content.Span)))));
        if (version == status.Version)
        {
            // Back to what serves already: nothing to publish, nothing wrong any more.
            status = status with { Errors = [], WrongSince = null };
            return;
        }

        store.SetRules(SourceOrder.Files, parsed.Rules);
        status = new RuleStatus
        {
            Folder = folder.ShownAs,
            Version = version,
            ServingSince = time.GetUtcNow(),
            Files = files.Length,
            Documents = Count(parsed.Rules),
            Warnings = parsed.Warnings,
        };
        metrics.Loaded(good: true);
        log.Info("rules taken", ("folder", folder.ShownAs), ("files", files.Length), ("documents", status.Documents.Values.Sum()), ("version", version));
        foreach (var warning in parsed.Warnings) log.Warn("rule without effect", ("at", warning));
        firstGood.TrySetResult();
    }

    private void Refuse(ImmutableArray<RuleError> errors, bool isNews)
    {
        status = status with { Errors = errors, WrongSince = status.WrongSince ?? time.GetUtcNow() };
        if (!isNews) return;
        metrics.Loaded(good: false);
        log.Error(
            status.ServingSince is null ? "rules refused: there is no good set yet, nothing is served until the files are right" : "rules refused: the last good set serves on",
            ("folder", folder.ShownAs), ("errors", errors.Length), ("serving", status.Version));
        foreach (var error in errors.Take(50)) log.Error("rule error", ("at", error));
    }

    private FileSystemWatcher? Watch()
    {
        try
        {
            var watcher = new FileSystemWatcher(path) { IncludeSubdirectories = true };
            watcher.Changed += (_, _) => announced.Writer.TryWrite(true);
            watcher.Created += (_, _) => announced.Writer.TryWrite(true);
            watcher.Deleted += (_, _) => announced.Writer.TryWrite(true);
            watcher.Renamed += (_, _) => announced.Writer.TryWrite(true);
            watcher.Error += (_, _) => announced.Writer.TryWrite(true);
            watcher.EnableRaisingEvents = true;
            return watcher;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            log.Warn("changes of rule files are not announced, the folder is scanned", ("every", ScanEvery), ("error", e.Message));
            return null;
        }
    }

    private async Task ChangeAsync(CancellationToken stop)
    {
        if (!await AnnouncedAsync(ScanEvery, stop)) return;
        var until = time.GetTimestamp() + (long)(Longest.TotalSeconds * time.TimestampFrequency);
        while (time.GetTimestamp() < until && await AnnouncedAsync(Quiet, stop))
        {
            // Another change: the quiet time begins anew.
        }
    }

    private async Task<bool> AnnouncedAsync(TimeSpan within, CancellationToken stop)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var change = announced.Reader.ReadAsync(limit.Token).AsTask();
        var timeout = Task.Delay(within, time, limit.Token);
        var first = await Task.WhenAny(change, timeout);
        await limit.CancelAsync();
        stop.ThrowIfCancellationRequested();
        return first == change || change.IsCompletedSuccessfully;
    }

    private static ImmutableSortedDictionary<string, int> Count(RuleSet rules) => ImmutableSortedDictionary<string, int>.Empty
        .Add("EndpointSlice", rules.EndpointSlices.Length)
        .Add("HTTPRoute", rules.HttpRoutes.Length)
        .Add("Pod", rules.Pods.Length)
        .Add("Service", rules.Services.Length);

    private static string Shown(string path)
    {
        var relative = Path.GetRelativePath(Environment.CurrentDirectory, path);
        return relative.StartsWith("..", StringComparison.Ordinal) ? path : relative;
    }
}

using Mesh.ControlPlane.Sources.Registry.Store;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Sources.Registry.Persistence;

/// <summary>
/// Writes the state behind the changes: many changes make one write, and writing takes at most a tenth of the time. Who must not lose a change
/// (a key, a lock) waits for <see cref="SavedAsync"/>; registrations and check states do not, they come again by themselves.
/// Thread safe; owns its loop, which writes a last time when it is disposed.
/// </summary>
internal sealed class RegistrySaver : IAsyncDisposable
{
    private static readonly TimeSpan MinPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan RetryPause = TimeSpan.FromSeconds(1);
    private readonly RegistryStore store;
    private readonly RegistryFile file;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly SemaphoreSlim changed = new(0, 1);
    private readonly CancellationTokenSource stop = new();
    private readonly Lock gate = new();
    private readonly List<(ulong Index, TaskCompletionSource Done)> waiting = [];
    private TaskCompletionSource urgent = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong savedIndex;
    private Task loop = Task.CompletedTask;

    public RegistrySaver(RegistryStore store, RegistryFile file, TimeProvider time, ILogger log)
    {
        this.store = store;
        this.file = file;
        this.time = time;
        this.log = log;
    }

    public void Start()
    {
        store.Follow(_ => Wake());
        Wake();
        loop = Task.Run(RunAsync);
    }

    /// <summary>Completes when everything up to the current state is on disk; fails when it cannot be written.</summary>
    public Task SavedAsync()
    {
        var index = store.Current.Index;
        lock (gate)
        {
            if (savedIndex >= index) return Task.CompletedTask;
            var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiting.Add((index, done));
            urgent.TrySetResult();
            Wake();
            return done.Task;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await loop;
        TrySave();
        stop.Dispose();
        changed.Dispose();
    }

    private void Wake()
    {
        lock (gate)
        {
            if (changed.CurrentCount == 0 && !stop.IsCancellationRequested) changed.Release();
        }
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                await changed.WaitAsync(stop.Token);
                var start = time.GetTimestamp();
                var isSaved = TrySave();
                var pause = 9 * time.GetElapsedTime(start);
                if (!isSaved) Wake();
                await PauseAsync(!isSaved ? RetryPause : pause > MinPause ? pause : MinPause);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
    }

    /// <summary>Rests, unless somebody waits for the disk: the waiting itself bounds how often that happens.</summary>
    private async Task PauseAsync(TimeSpan pause)
    {
        Task hurry;
        lock (gate)
        {
            if (waiting.Count == 0 && urgent.Task.IsCompleted) urgent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            hurry = urgent.Task;
        }

        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        await await Task.WhenAny(hurry, Task.Delay(pause, time, over.Token));
        await over.CancelAsync();
    }

    private bool TrySave()
    {
        var state = store.Current;
        if (state.Index == savedIndex) return true;
        try
        {
            file.Save(state);
            lock (gate) savedIndex = state.Index;
            Complete(state.Index, failure: null);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.LogError("registry not saved file={File} error={Error}", file.FilePath, e.Message);
            Complete(state.Index, new RegistryDataException($"the registry's data file {file.FilePath} cannot be written: {e.Message}", e));
            return false;
        }
    }

    private void Complete(ulong index, Exception? failure)
    {
        lock (gate)
        {
            foreach (var (_, done) in waiting.Where(w => w.Index <= index))
            {
                if (failure is null) done.SetResult();
                else done.SetException(failure);
            }

            waiting.RemoveAll(w => w.Index <= index);
        }
    }
}

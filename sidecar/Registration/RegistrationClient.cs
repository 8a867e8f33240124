using System.Net;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Registration;

/// <summary>How a registration is kept. Immutable.</summary>
/// <param name="HealthPath">Path of the application's HTTP health check; null checks only which of its ports accept.</param>
/// <param name="Time">Clock.</param>
/// <param name="Random">Chance, for jitter.</param>
internal sealed record RegistrationSettings(string? HealthPath, TimeProvider Time, Randomness Random)
{
    /// <summary>What other addresses the workload has now; another object when that changed.</summary>
    public Func<IReadOnlyList<OwnAddress>> MoreAddresses { get; init; } = () => [];
}

/// <summary>
/// Keeps this workload registered while the process lives: says what it is once the application accepts on any port, and how it and its ports
/// are whenever that changes. The open stream is its liveness; a broken one is opened again with backoff. One task, started and awaited by Program.
/// </summary>
internal sealed class RegistrationClient(GrpcChannel channel, Workload workload, RegistrationSettings settings, Log log)
{
    private static readonly TimeSpan LookWhileStarting = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan FirstBackoff = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MostBackoff = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RefusedBackoff = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    /// <summary>Looks at ports that were never seen to accept, before they are looked at as seldom as others.</summary>
    private const int LooksWhileStarting = 100;

    private static readonly int LooksWhileStartingPerLook = (int)(LookEvery / LookWhileStarting);
    private readonly HealthWatch watch = new([.. workload.Ports.Select(p => p.Port)], settings.HealthPath is not null);
    private int startingLooks = LooksWhileStarting;
    private readonly CancellationTokenSource leaving = new();
    private IReadOnlyList<OwnAddress> told = [];
    private volatile string refusal = "";
    private string leftOut = "";
    private volatile bool registered;

    /// <summary>True once the control plane has taken the registration on the stream that is open.</summary>
    public bool Registered => registered;

    /// <summary>Why the control plane will not have this workload; empty when it will.</summary>
    public string Refusal => IsClient ? "" : refusal;

    /// <summary>True for a workload that serves nothing.</summary>
    public bool IsClient => workload.Ports.IsEmpty;

    /// <summary>Runs until <see cref="Leave"/>, then says so to the control plane, within two seconds.</summary>
    public async Task RunAsync()
    {
        // Who serves nothing is registered for where it calls from, if that is told from others on the machine.
        if (IsClient ? workload.Capture is null && IPAddress.IsLoopback(IPAddress.Parse(workload.Address)) : !await AppIsThereAsync()) return;
        for (var failures = 0; !leaving.IsCancellationRequested;)
        {
            var end = await StayAsync();
            var was = registered;
            registered = false;
            if (leaving.IsCancellationRequested) return;
            failures = was ? 1 : failures + 1;
            var wait = refusal.Length > 0 ? RefusedBackoff : Backoff.FullJitter(failures, FirstBackoff, MostBackoff, settings.Random);
            log.Warn("registration interrupted", ("reason", end), ("retry_ms", (long)wait.TotalMilliseconds));
            await WaitAsync(wait);
        }
    }

    /// <summary>Begins to withdraw the registration; <see cref="RunAsync"/> ends when it is done.</summary>
    public void Leave() => leaving.Cancel();

    private async Task<bool> AppIsThereAsync()
    {
        var said = false;
        while (!leaving.IsCancellationRequested)
        {
            watch.Take(await LookAsync(_ => true));
            if (watch.State is not null) return true;
            if (!said) log.Info("waiting for the application before registering", ("ports", string.Join(',', workload.Ports.Select(p => p.Port))));
            said = true;
            await WaitAsync(LookWhileStarting);
        }

        return false;
    }

    private async Task<string> StayAsync()
    {
        try
        {
            using var end = new CancellationTokenSource();
            await using var call = channel.Open(WorkloadMethods.Register, default, end.Token);
            var answers = ReadAnswersAsync(call, end.Token);
            await call.WriteAsync(new WorkloadUpdate { Register = Describe() }, end.Token);
            while (!leaving.IsCancellationRequested && !answers.IsCompleted)
            {
                var starting = startingLooks > 0 && watch.AwaitsAny;
                await Task.WhenAny(answers, WaitAsync(starting ? LookWhileStarting : LookEvery));
                if (leaving.IsCancellationRequested || answers.IsCompleted) break;
                // While some ports are to come, those are looked at often and the others as seldom as ever.
                var all = !starting || --startingLooks % LooksWhileStartingPerLook == 0;
                if (!IsClient && watch.Take(await LookAsync(i => all || watch.IsAwaited(i)))) await SayHealthAsync(call, end.Token);
                if (!ReferenceEquals(settings.MoreAddresses(), told)) await call.WriteAsync(new WorkloadUpdate { Register = Describe() }, end.Token);
            }

            if (leaving.IsCancellationRequested) await SayGoodbyeAsync(call, answers, end);
            return await answers;
        }
        catch (GrpcException e)
        {
            return e.Status.ToString();
        }
        catch (OperationCanceledException e)
        {
            return e.Message;
        }
    }

    private async Task SayHealthAsync(GrpcCall<WorkloadUpdate, WorkloadAck> call, CancellationToken cancel)
    {
        var now = watch.State!;
        var what = !now.Passing ? "the application is not healthy" : now.PortsDown.IsEmpty ? "the application is healthy" : "the application is healthy, not all of its ports accept";
        log.Info(what, ("ports_down", string.Join(',', now.PortsDown)), ("detail", now.Detail));
        var health = new Health { State = StateOf(now), Detail = now.Detail };
        health.PortsDown.Add(now.PortsDown.Select(port => (uint)port));
        await call.WriteAsync(new WorkloadUpdate { Health = health }, cancel);
    }

    private async Task SayGoodbyeAsync(GrpcCall<WorkloadUpdate, WorkloadAck> call, Task answers, CancellationTokenSource end)
    {
        await call.WriteAsync(new WorkloadUpdate { Leaving = new Leaving { Reason = "stopping" } }, end.Token);
        call.Complete();
        await Task.WhenAny(answers, Task.Delay(LastWords, settings.Time, CancellationToken.None));
        await end.CancelAsync();
    }

    /// <summary>Why the answers ended. Never throws: when a write fails first, nobody is left to await it.</summary>
    private async Task<string> ReadAnswersAsync(GrpcCall<WorkloadUpdate, WorkloadAck> call, CancellationToken cancel)
    {
        try
        {
            await foreach (var answer in call.ReadAllAsync(cancel))
            {
                Take(answer);
                if (refusal.Length > 0) return $"refused: {refusal}";
            }

            return "the control plane ended the stream";
        }
        catch (GrpcException e)
        {
            return e.Status.ToString();
        }
        catch (OperationCanceledException e)
        {
            return e.Message;
        }
    }

    private void Take(WorkloadAck answer)
    {
        var refused = answer.Status == WorkloadAck.Types.Status.Refused;
        if (refused) log.Error("the control plane refuses this workload", ("reason", answer.Message));
        else if (!registered) log.Info("registered", ("service", workload.Service), ("workload", workload.Id), ("by", answer.RegisteredBy), ("status", answer.Status), ("detail", answer.Message));
        // Once: it is registered again and again.
        if (answer.Status == WorkloadAck.Types.Status.Accepted && answer.Message.Length > 0 && answer.Message != leftOut)
        {
            leftOut = answer.Message;
            log.Warn("the control plane has not taken all that this workload says of itself", ("reason", leftOut));
        }

        refusal = !refused ? "" : answer.Message.Length > 0 ? answer.Message : "without a reason";
        registered = !refused;
    }

    private Mesh.Api.V1.Registration Describe()
    {
        var state = watch.State ?? new AppState(true, [], "");
        told = settings.MoreAddresses();
        var registration = new Mesh.Api.V1.Registration
        {
            Id = workload.Id,
            Service = IsClient ? "" : workload.Service,
            Namespace = workload.Namespace,
            Address = workload.Address,
            Version = workload.Version,
            Zone = workload.Zone,
            Workload = workload.Group,
            Captured = workload.Capture is { DeclaredOnly: false },
            Health = StateOf(state),
            HealthDetail = state.Detail,
        };
        registration.PortsDown.Add(state.PortsDown.Select(port => (uint)port));
        registration.MoreAddresses.Add(told);
        registration.Labels.Add(workload.Labels);
        // Policies select it by its service, though it serves nothing.
        if (IsClient && workload.Service.Length > 0) registration.Labels.TryAdd("app", workload.Service);
        registration.Ports.Add(workload.Ports.Select(p => new Port
        {
            Name = p.Name,
            Port_ = (uint)p.Port,
            Protocol = p.Protocol,
            // A captured port has no socket before it: peers dial the application's own.
            ListenAddress = p.Listen?.Address.ToString() ?? "",
            ListenPort = (uint)(p.Listen?.Port ?? p.Port),
        }));
        return registration;
    }

    private static Health.Types.State StateOf(AppState health) => health.Passing ? Health.Types.State.Passing : Health.Types.State.Critical;

    private Task<AppLook> LookAsync(Func<int, bool> wanted) =>
        AppLook.TakeAsync([.. workload.Ports.Select(workload.Application)], settings.HealthPath, wanted, settings.Time, CancellationToken.None);

    /// <summary>Waits; leaving ends the wait.</summary>
    private Task WaitAsync(TimeSpan time) =>
        Task.Delay(time, settings.Time, leaving.Token).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
}

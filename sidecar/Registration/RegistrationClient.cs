using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Resilience;

namespace Mesh.Sidecar.Registration;

/// <summary>How a registration is kept. Immutable.</summary>
/// <param name="HealthPath">Path of the application's HTTP health check; null checks that its ports accept.</param>
/// <param name="Time">Clock.</param>
/// <param name="Random">Chance, for jitter.</param>
internal sealed record RegistrationSettings(string? HealthPath, TimeProvider Time, Randomness Random);

/// <summary>
/// Keeps this workload registered while the process lives: says what it is once the application accepts, and how it is whenever that
/// changes. The open stream is its liveness; a broken one is opened again with backoff. One task, started and awaited by Program.
/// </summary>
internal sealed class RegistrationClient(GrpcChannel channel, Workload workload, RegistrationSettings settings, Log log)
{
    private static readonly TimeSpan LookWhileStarting = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan FirstBackoff = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MostBackoff = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RefusedBackoff = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    private readonly HealthWatch watch = new();
    private readonly CancellationTokenSource leaving = new();
    private volatile string refusal = "";
    private volatile bool registered;

    /// <summary>True once the control plane has taken the registration on the stream that is open.</summary>
    public bool Registered => registered;

    /// <summary>Why the control plane will not have this workload; empty when it will.</summary>
    public string Refusal => refusal;

    /// <summary>Runs until <see cref="Leave"/>, then says so to the control plane, within two seconds.</summary>
    public async Task RunAsync()
    {
        if (workload.Ports.IsEmpty || !await AppIsThereAsync()) return;
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
            watch.Take(await LookAsync());
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
                await Task.WhenAny(answers, WaitAsync(LookEvery));
                if (leaving.IsCancellationRequested || answers.IsCompleted) break;
                if (watch.Take(await LookAsync())) await SayHealthAsync(call, end.Token);
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
        var now = watch.State!.Value;
        log.Info(now.Passing ? "the application is healthy again" : "the application is not healthy", ("detail", now.Detail));
        await call.WriteAsync(new WorkloadUpdate { Health = new Health { State = StateOf(now), Detail = now.Detail } }, cancel);
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
        refusal = !refused ? "" : answer.Message.Length > 0 ? answer.Message : "without a reason";
        registered = !refused;
    }

    private Mesh.Api.V1.Registration Describe()
    {
        var state = watch.State!.Value;
        var registration = new Mesh.Api.V1.Registration
        {
            Id = workload.Id,
            Service = workload.Service,
            Namespace = workload.Namespace,
            Address = workload.Address,
            Version = workload.Version,
            Zone = workload.Zone,
            Workload = workload.Group,
            Captured = workload.Capture is not null,
            Health = StateOf(state),
            HealthDetail = state.Detail,
        };
        registration.Labels.Add(workload.Labels);
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

    private static Health.Types.State StateOf(AppHealth health) => health.Passing ? Health.Types.State.Passing : Health.Types.State.Critical;

    private Task<AppHealth> LookAsync() => AppHealth.LookAsync([.. workload.Ports.Select(workload.Application)], settings.HealthPath, settings.Time, CancellationToken.None);

    /// <summary>Waits; leaving ends the wait.</summary>
    private Task WaitAsync(TimeSpan time) =>
        Task.Delay(time, settings.Time, leaving.Token).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
}

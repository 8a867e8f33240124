using System.Threading.Channels;
using Mesh.Api.Grpc;
using Mesh.Api.V1;
using Mesh.Api.Workloads;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>Serves <c>mesh.v1.WorkloadService</c>: a stream for each workload, which is its liveness. Thread safe; each stream is one call.</summary>
internal sealed class WorkloadEndpoint(WorkloadRegistrations registrations, RegistrationGate gate, WorkloadOptions options, string replica, TimeProvider time)
{
    /// <summary>Answers that may wait for the registry before the stream is no longer read.</summary>
    private const int MaxWaiting = 32;

    /// <summary>Told of each workload that says it leaves. Must not block.</summary>
    public Action<HttpContext> OnLeft { get; set; } = _ => { };

    /// <summary>Adds the service to the application that serves xDS.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGrpcDuplex(WorkloadMethods.Register, ServeAsync);
        endpoints.MapGrpcUnary(WorkloadMethods.ProveAddress, (_, context) => Task.FromResult(gate.Prove(context)));
    }

    /// <summary>One stream: read, apply, answer in order; at its end the workload has left or its grace time begins.</summary>
    public async Task ServeAsync(MessageReader<WorkloadUpdate> requests, MessageWriter<WorkloadAck> responses, ServerCallContext context)
    {
        using var lease = registrations.TryOpen()
            ?? throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"{options.MaxWorkloads + options.SpareStreams} streams are open, more are not taken");
        using var late = new CancellationTokenSource(options.RegisterWithin, time);
        using var life = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, lease.Lost, late.Token);
        var waiting = Channel.CreateBounded<Answer>(new BoundedChannelOptions(MaxWaiting) { SingleReader = true, SingleWriter = true });
        var answering = AnswerAsync(lease, waiting.Reader, responses, life.Token);
        try
        {
            await foreach (var update in requests.ReadAllAsync(life.Token))
            {
                var answer = await ApplyAsync(lease, update, context);
                if (lease.WorkloadId is not null) late.CancelAfter(Timeout.InfiniteTimeSpan);
                await waiting.Writer.WriteAsync(answer, life.Token);
                if (update.UpdateCase == WorkloadUpdate.UpdateOneofCase.Leaving) break;
            }

            waiting.Writer.Complete();
            await answering;
        }
        catch (OperationCanceledException) when (lease.Reason is { } reason)
        {
            throw new GrpcException(lease.Stopping ? GrpcStatusCode.Unavailable : GrpcStatusCode.Aborted, reason);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !context.Cancellation.IsCancellationRequested)
        {
            throw new GrpcException(GrpcStatusCode.DeadlineExceeded, $"no workload registered within {options.RegisterWithin.TotalSeconds:0.#} seconds");
        }
        finally
        {
            registrations.Disconnect(lease);
            await life.CancelAsync();
            await answering.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private Answer TakeHealth(WorkloadLease lease, Health update)
    {
        if (RegistrationRules.HealthOf(update.State) is not { } state) return Answer.Refused("a health update says PASSING, WARNING or CRITICAL");
        if (RegistrationRules.CheckDown(update.PortsDown) is { } problem) return Answer.Refused(problem);
        var refused = registrations.SetHealth(lease, new WorkloadHealth(state, update.PortsDown, RegistrationRules.Detail(update.Detail)), out var changed);
        return Answer.Of(refused, changed);
    }

    private async Task<Answer> ApplyAsync(WorkloadLease lease, WorkloadUpdate update, ServerCallContext context)
    {
        switch (update.UpdateCase)
        {
            case WorkloadUpdate.UpdateOneofCase.Register: return await RegisterAsync(lease, update.Register, context);
            case WorkloadUpdate.UpdateOneofCase.Health:
                return TakeHealth(lease, update.Health);
            case WorkloadUpdate.UpdateOneofCase.Leaving:
                registrations.Leave(lease, update.Leaving.Reason);
                OnLeft(context.Http);
                return Answer.Of(null, 0);
            default:
                return Answer.Refused("the update is neither register, health nor leaving");
        }
    }

    private async Task<Answer> RegisterAsync(WorkloadLease lease, Registration registration, ServerCallContext context)
    {
        if (RegistrationRules.Check(registration, out var said) is { } nonsense) return Answer.Refused(nonsense);
        var (passed, words, until) = await gate.PassAsync(said!, registration, context);
        if (passed is not { } instance) return Answer.Refused(words);
        if (registrations.IsTaken(instance))
        {
            var taken = $"workload id '{instance.Id}' is held by another identity";
            gate.CountTaken(instance, context, taken);
            return Answer.Refused(taken);
        }

        var refused = registrations.Register(lease, instance, RegistrationRules.Detail(registration.HealthDetail), out var registered, until);
        return Answer.Of(refused, registered) with { Words = words };
    }

    /// <summary>Answers updates in order. What the registry has not taken in time is PENDING, and ACCEPTED by one more answer once it has.</summary>
    private async Task AnswerAsync(
        WorkloadLease lease, ChannelReader<Answer> waiting, MessageWriter<WorkloadAck> responses, CancellationToken stop)
    {
        Task owed = Task.CompletedTask;
        await foreach (var answer in waiting.ReadAllAsync(stop))
        {
            if (answer.Problem is not null)
            {
                await SendAsync(responses, WorkloadAck.Types.Status.Refused, answer.Problem, stop);
                continue;
            }

            var failure = await FailureAsync(lease, answer.Generation, stop);
            if (failure is null)
            {
                await SendAsync(responses, WorkloadAck.Types.Status.Accepted, answer.Words, stop);
                continue;
            }

            await SendAsync(responses, WorkloadAck.Types.Status.Pending, $"the registry does not take it yet: {failure}", stop);
            if (owed.IsCompleted) owed = AcceptLaterAsync(lease, answer, responses, stop);
        }

        // The sender has half-closed: what is still owed is not waited for.
    }

    private async Task AcceptLaterAsync(WorkloadLease lease, Answer answer, MessageWriter<WorkloadAck> responses, CancellationToken stop)
    {
        try
        {
            await registrations.WaitAsync(lease, answer.Generation, orFailure: false, stop);
            await SendAsync(responses, WorkloadAck.Types.Status.Accepted, answer.Words, stop);
        }
        catch (OperationCanceledException)
        {
            // The stream has ended.
        }
    }

    /// <summary>Null when the registry has it in time, else why it has not.</summary>
    private async Task<string?> FailureAsync(WorkloadLease lease, long generation, CancellationToken stop)
    {
        using var patience = new CancellationTokenSource(options.AckPatience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, patience.Token);
        try
        {
            var progress = await registrations.WaitAsync(lease, generation, orFailure: true, either.Token);
            return progress.Written >= generation ? null : progress.Error;
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return $"no answer within {options.AckPatience.TotalSeconds:0.#} s";
        }
    }

    private Task SendAsync(MessageWriter<WorkloadAck> responses, WorkloadAck.Types.Status status, string message, CancellationToken stop) =>
        responses.WriteAsync(new WorkloadAck { Status = status, Message = message, RegisteredBy = replica }, stop);

    /// <summary>An answer to be: a refusal, or ACCEPTED once the registry has the generation.</summary>
    private readonly record struct Answer(string? Problem, long Generation)
    {
        /// <summary>What its maker should know all the same.</summary>
        public string Words { get; init; } = "";

        public static Answer Refused(string problem) => new(problem, 0);

        public static Answer Of(string? problem, long generation) => new(problem, generation);
    }
}

using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Model;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Every registration of a caller with an identity passes here: it is within its rights, or refused, logged and counted. Thread safe;
/// lives as long as the endpoint.
/// </summary>
/// <param name="store">Says who may serve what, as of now.</param>
/// <param name="ready">Done when the rules were read: nobody is refused for rules that are not there yet.</param>
/// <param name="log">Where refusals are written.</param>
internal sealed class RegistrationGate(WorldStore store, Task ready, Log log) : IDisposable
{
    private readonly RefusalMeter refused = new("mesh_registration_refused_total", "Registrations refused because the workload's identity does not allow them, by reason.");

    /// <summary>The instance with the identity its sidecar proved; unchanged for a caller that proved none.</summary>
    /// <returns>The instance, or why it is refused.</returns>
    public async Task<(Instance? Instance, string? Problem)> PassAsync(Instance instance, ServerCallContext context)
    {
        if (context.Http.Features.Get<Caller>() is not { } caller) return (instance, null);
        await ready.WaitAsync(context.Cancellation);
        if (RegistrationAuthority.Check(instance, caller.Id, context.Http.Connection.RemoteIpAddress, store.Current) is { } refusal)
        {
            Count(refusal.Reason, instance, caller, refusal.Text);
            return (null, refusal.Text);
        }

        return (instance with { Identity = caller.Id.ToString() }, null);
    }

    /// <summary>Counts the refusal of an id that another identity holds.</summary>
    public void CountTaken(Instance instance, ServerCallContext context, string text)
    {
        if (context.Http.Features.Get<Caller>() is { } caller) Count("workload_id", instance, caller, text);
    }

    /// <inheritdoc/>
    public void Dispose() => refused.Dispose();

    private void Count(string reason, Instance instance, Caller caller, string text)
    {
        refused.Count(reason);
        log.Warn("a registration is refused", ("identity", caller.Id), ("workload", instance.Id),
            ("service", new ServiceName(instance.Namespace, instance.Service)), ("reason", reason), ("error", text));
    }
}

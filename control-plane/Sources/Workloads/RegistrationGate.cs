using System.Net;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.ControlPlane.Model;
using OwnAddress = Mesh.ControlPlane.Model.Policies.OwnAddress;

namespace Mesh.ControlPlane.Sources.Workloads;

/// <summary>
/// Every registration of a caller with an identity passes here: it is within its rights, or refused, logged and counted. Thread safe;
/// lives as long as the endpoint.
/// </summary>
/// <param name="store">Says who may serve what, as of now.</param>
/// <param name="proofs">Knows who was seen at which address.</param>
/// <param name="ready">Done when the rules were read: nobody is refused for rules that are not there yet.</param>
/// <param name="log">Where refusals are written.</param>
internal sealed class RegistrationGate(WorldStore store, AddressProofs proofs, Task ready, Log log) : IDisposable
{
    private readonly RefusalMeter refused = new("mesh_registration_refused_total", "Registrations refused because the workload's identity does not allow them, by reason.");

    /// <summary>The instance with the identity its sidecar proved; unchanged for a caller that proved none.</summary>
    public async Task<Passage> PassAsync(Instance instance, Registration registration, ServerCallContext context)
    {
        if (context.Http.Features.Get<Caller>() is not { } caller) return new Passage(instance with { MoreAddresses = [] }, "", null);
        await ready.WaitAsync(context.Cancellation);
        if (RegistrationAuthority.Check(instance, caller.Id, context.Http.Connection.RemoteIpAddress, store.Current) is { } refusal)
        {
            Count(refusal.Reason, instance, caller, refusal.Text);
            return new Passage(null, refusal.Text, null);
        }

        return WithAddresses(instance with { Identity = caller.Id.ToString() }, registration, caller, context.Http.Connection.RemoteIpAddress);
    }

    /// <summary>A proof that the caller has the address its connection comes from.</summary>
    public AddressProof Prove(ServerCallContext context)
    {
        if (context.Http.Features.Get<Caller>() is not { } caller) throw new GrpcException(GrpcStatusCode.Unauthenticated, "who proves an address must prove who he is");
        if (context.Http.Connection.RemoteIpAddress is not { } seen) throw new GrpcException(GrpcStatusCode.FailedPrecondition, "this connection comes from no IP address");
        var address = IPAddress.Parse(RegistrationRules.Canonical(seen.ToString()));
        return new AddressProof
        {
            Address = address.ToString(),
            Proof = ByteString.CopyFrom(proofs.Make(caller.Id.ToString(), address)),
            ValidFor = Duration.FromTimeSpan(AddressProofs.ValidFor),
        };
    }

    /// <summary>Counts the refusal of an id that another identity holds.</summary>
    public void CountTaken(Instance instance, ServerCallContext context, string text)
    {
        if (context.Http.Features.Get<Caller>() is { } caller) Count("workload_id", instance, caller, text);
    }

    /// <inheritdoc/>
    public void Dispose() => refused.Dispose();

    // Nobody makes an address one of the mesh by saying that it is his: each is seen, granted, or proved by a connection that came from there.
    private Passage WithAddresses(Instance instance, Registration registration, Caller caller, IPAddress? seenAt)
    {
        DateTimeOffset? until = null;
        List<string> own = [], others = [];
        foreach (var text in instance.MoreAddresses)
        {
            var address = IPAddress.Parse(text);
            var granted = OwnAddress.Is(address, seenAt, instance.Identity, store.Current.Authority);
            var proved = granted ? null : registration.MoreAddresses.Where(more => RegistrationRules.Canonical(more.Address) == text).Select(more => proofs.Until(instance.Identity, address, more.Proof.Span)).Max();
            (granted || proved is not null ? own : others).Add(text);
            if (proved is { } end && (until is null || end < until)) until = end;
        }

        if (others.Count == 0) return new Passage(instance with { MoreAddresses = [.. own] }, "", until);
        var problem = $"left out, since no connection proved that they are the workload's: {string.Join(", ", others)}; make its join token with --address for each";
        Count("more_addresses", instance, caller, problem);
        return new Passage(instance with { MoreAddresses = [.. own] }, problem, until);
    }

    private void Count(string reason, Instance instance, Caller caller, string text)
    {
        refused.Count(reason);
        log.Warn("a registration is refused", ("identity", caller.Id), ("workload", instance.Id),
            ("service", new ServiceName(instance.Namespace, instance.Service)), ("reason", reason), ("error", text));
    }
}

/// <summary>What became of a registration at the gate. Immutable.</summary>
/// <param name="Instance">What is registered; null when it is refused.</param>
/// <param name="Words">Why it is refused, or what of it was left out; empty when nothing was.</param>
/// <param name="ProvedUntil">When its other addresses have to be proved again; null when never.</param>
internal readonly record struct Passage(Instance? Instance, string Words, DateTimeOffset? ProvedUntil);

using System.Diagnostics.Metrics;
using System.Net;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Destinations;
using Mesh.Api.Grpc;
using Mesh.Api.V1;
using Mesh.ControlPlane.Identity.Issuing;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Destinations;

/// <summary>
/// Answers sidecars that have to send to an address they do not know, <c>mesh.v1.DestinationService/Lookup</c>: callers that proved who they are,
/// each at a bounded rate. Thread safe; lives as long as the program.
/// </summary>
/// <param name="store">What is known.</param>
/// <param name="captured">Who is connected, registered or not.</param>
/// <param name="isComplete">True while the world has all that sources can tell.</param>
/// <param name="time">The clock.</param>
internal sealed class DestinationEndpoint(WorldStore store, CapturedNodes captured, Func<bool> isComplete, TimeProvider time) : IDisposable
{
    /// <summary>How long an answer may be used while this control plane can be asked.</summary>
    public static readonly TimeSpan ValidFor = TimeSpan.FromSeconds(30);

    /// <summary>Questions one caller may ask a second, for ever.</summary>
    public const double Rate = 50;

    /// <summary>Questions at once.</summary>
    public const int Burst = 500;

    private readonly FairLimit limit = new(perSecond: 5000, Burst, Rate, time);
    private readonly Meter meter = new("Mesh.ControlPlane");
    private Counter<long>? answers;
    private readonly Lock indexing = new();
    private (World? World, Lazy<DestinationIndex> Index) last = (null, new(() => new DestinationIndex(World.Empty)));

    /// <summary>Adds the method to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        answers = meter.CreateCounter<long>("mesh_destination_lookups_total", description: "Lookups of destinations by sidecars, by what they were answered.");
        endpoints.MapGrpcUnary(DestinationMethods.Lookup, (query, context) => Task.FromResult(Answer(query, context)));
    }

    /// <inheritdoc/>
    public void Dispose() => meter.Dispose();

    private DestinationAnswer Answer(DestinationQuery query, ServerCallContext context)
    {
        if (context.Http.Features.Get<Caller>() is not { } caller) throw Refuse("unauthenticated", GrpcStatusCode.Unauthenticated, "who asks for a destination must prove who he is");
        if (!limit.TryTake(caller.Id.ToString())) throw Refuse("limited", GrpcStatusCode.ResourceExhausted, $"too many lookups: {Burst} at once and {Rate} a second are answered");
        if (query.Address.Length is not (4 or 16)) throw Refuse("invalid", GrpcStatusCode.InvalidArgument, $"address has {query.Address.Length} bytes, not 4 or 16");
        if (query.Port is 0 or > 65535) throw Refuse("invalid", GrpcStatusCode.InvalidArgument, $"port {query.Port} is not in 1 to 65535");
        var address = new IPAddress(query.Address.Span);
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();

        // Whether it is complete is asked first: what is learned after that only adds.
        var complete = isComplete();
        var found = DestinationLookup.Answer(Index(), captured.Nodes(address), new IPEndPoint(address, (int)query.Port), complete)
            ?? throw Refuse("incomplete", GrpcStatusCode.Unavailable, $"nothing is known of {new IPEndPoint(address, (int)query.Port)}, and not all sources have told what they know");
        answers?.Add(1, new KeyValuePair<string, object?>("answer", found.Verdict.ToString().ToLowerInvariant()));
        return new DestinationAnswer
        {
            Verdict = found.Verdict switch
            {
                DestinationVerdict.Meshed => DestinationAnswer.Types.Verdict.Meshed,
                DestinationVerdict.NotMeshed => DestinationAnswer.Types.Verdict.NotMeshed,
                _ => DestinationAnswer.Types.Verdict.Refused,
            },
            Service = found.Service,
            Identities = { found.Identities },
            ValidFor = Duration.FromTimeSpan(ValidFor),
            Reason = found.Reason,
            Workload = found.Workload,
            Namespace = found.Namespace,
        };
    }

    private DestinationIndex Index()
    {
        Lazy<DestinationIndex> index;
        lock (indexing)
        {
            var world = store.Current;
            if (!ReferenceEquals(last.World, world)) last = (world, new Lazy<DestinationIndex>(() => new DestinationIndex(world)));
            index = last.Index;
        }

        // Made once, however many ask at the same moment.
        return index.Value;
    }

    private GrpcException Refuse(string reason, GrpcStatusCode code, string text)
    {
        answers?.Add(1, new KeyValuePair<string, object?>("answer", reason));
        return new GrpcException(code, text);
    }
}

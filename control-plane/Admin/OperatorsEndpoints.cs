using System.Collections.Frozen;
using System.Globalization;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Authz;
using Mesh.ControlPlane.Admin.Login;
using Mesh.ControlPlane.Admin.Traffic;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Xds;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Admin;

/// <summary>
/// The operators' API of <see cref="OperatorsApi"/> and the same as <c>/debug</c>: what is read of the world and the nodes, as JSON. Thread safe.
/// </summary>
internal sealed class OperatorsEndpoints(WorldStore store, ConnectedNodes nodes, ConfigFeed feed, TrafficWindow traffic, WorldReport world)
{
    private static readonly TimeSpan DefaultWindow = TimeSpan.FromSeconds(10);

    /// <summary>The paths that take other methods than GET.</summary>
    private static readonly FrozenSet<string> Written =
        new[] { OperatorsApi.Tokens, OperatorsApi.Revocations, OperatorsApi.Rotation, OperatorsApi.AuthorizationCheck }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Adds the paths to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        Get(endpoints, OperatorsApi.Nodes, http => OperatorsAnswer.SendAsync(http, new NodeList(nodes.List()), OperatorsJson.Default.NodeList));
        Get(endpoints, "/debug/nodes", http => OperatorsAnswer.SendAsync(http, new NodeList(nodes.List()), OperatorsJson.Default.NodeList));
        Get(endpoints, OperatorsApi.Services, http => OperatorsAnswer.SendAsync(http, ServiceReport.Of(store.Current), OperatorsJson.Default.ServiceList));
        Get(endpoints, OperatorsApi.Config, ConfigAsync);
        Get(endpoints, "/debug/config", ConfigAsync);
        Get(endpoints, OperatorsApi.Stat, http => WindowAsync(http, seconds =>
            OperatorsAnswer.SendAsync(http, ServiceReport.Stat(store.Current, traffic, seconds), OperatorsJson.Default.StatList)));
        Get(endpoints, OperatorsApi.Edges, http => WindowAsync(http, seconds =>
            OperatorsAnswer.SendAsync(http, new EdgeList(seconds, traffic.Edges(seconds)), OperatorsJson.Default.EdgeList)));
        endpoints.MapPost(OperatorsApi.AuthorizationCheck, (RequestDelegate)CheckAuthorizationAsync);
        Get(endpoints, "/debug/world", world.WriteAsync);
    }

    /// <summary>Answers every path nobody serves with what there is.</summary>
    public static void MapUnknown(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapFallback("{**path}", (RequestDelegate)(http => OperatorsAnswer.RefuseAsync(http, StatusCodes.Status404NotFound,
            $"nothing is served here; there are GET {OperatorsApi.Nodes} {OperatorsApi.Services} {OperatorsApi.Config}?node= {OperatorsApi.Stat} {OperatorsApi.Edges} /debug/world /debug/nodes /debug/config?node=")));
    }

    /// <summary>Middleware: what is only read is read with GET and HEAD.</summary>
    public static Task ReadsOnlyAsync(HttpContext http, RequestDelegate next)
    {
        var path = http.Request.Path;
        if (HttpMethods.IsGet(http.Request.Method) || HttpMethods.IsHead(http.Request.Method) || Written.Contains(path.Value ?? "") || !OperatorsLogin.IsFor(http)) return next(http);
        http.Response.Headers.Allow = "GET, HEAD";
        return OperatorsAnswer.RefuseAsync(http, StatusCodes.Status405MethodNotAllowed, $"{path} is read with GET");
    }

    private static void Get(IEndpointRouteBuilder endpoints, string path, RequestDelegate answer) => endpoints.MapMethods(path, ["GET", "HEAD"], answer);

    private Task ConfigAsync(HttpContext http)
    {
        var id = http.Request.Query["node"].ToString();
        if (id.Length == 0) return OperatorsAnswer.RefuseAsync(http, StatusCodes.Status400BadRequest, "say which node: ?node=ID, a node id, a workload id or a service");
        if (nodes.Find(id) is not [var (node, status), ..])
            return OperatorsAnswer.RefuseAsync(http, StatusCodes.Status404NotFound, $"no node '{id}' is connected; GET {OperatorsApi.Nodes} lists those that are");
        return feed.Current is { } config
            ? OperatorsAnswer.SendAsync(http, ConfigReport.Of(status, config.Compiled.For(node)), OperatorsJson.Default.ConfigDump)
            : OperatorsAnswer.RefuseAsync(http, StatusCodes.Status503ServiceUnavailable, "there is no configuration yet: the first world is not complete");
    }

    private async Task CheckAuthorizationAsync(HttpContext http)
    {
        if (await OperatorsBody.ReadAsync(http, OperatorsRequests.Default.AuthorizationQuestion) is not { } question) return;
        if (feed.Current is not { } config)
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status503ServiceUnavailable, "there is no configuration yet: the first world is not complete");
        else if (AuthorizationCheck.Answer(config.Compiled, question, out var error) is { } answer)
            await OperatorsAnswer.SendAsync(http, answer, OperatorsJson.Default.AuthorizationAnswer);
        else
            await OperatorsAnswer.RefuseAsync(http, StatusCodes.Status400BadRequest, error);
    }

    private static Task WindowAsync(HttpContext http, Func<int, Task> answer)
    {
        var text = http.Request.Query["window"].ToString();
        if (text.Length == 0) return answer((int)DefaultWindow.TotalSeconds);
        var scale = text[^1] switch { 's' => 1, 'm' => 60, _ => 0 };
        if (scale == 0 || !double.TryParse(text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) || number * scale is < 1 or > 600)
            return OperatorsAnswer.RefuseAsync(http, StatusCodes.Status400BadRequest, $"window: '{text}' is not between 1s and 10m");
        // A minute is kept; the answer says which window it is of.
        return answer((int)Math.Min(number * scale, TrafficWindow.Longest.TotalSeconds));
    }
}

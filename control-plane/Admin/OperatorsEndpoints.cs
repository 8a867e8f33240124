using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Admin.Authz;
using Mesh.ControlPlane.Admin.Traffic;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Xds;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Mesh.ControlPlane.Admin;

/// <summary>
/// The operators' API of <see cref="OperatorsApi"/> and the same as <c>/debug</c>: reads only, JSON, loopback names only. Thread safe.
/// </summary>
internal sealed class OperatorsEndpoints(WorldStore store, ConnectedNodes nodes, ConfigFeed feed, TrafficWindow traffic, WorldReport world)
{
    private static readonly TimeSpan DefaultWindow = TimeSpan.FromSeconds(10);

    /// <summary>Adds the paths to an application.</summary>
    public void Map(IEndpointRouteBuilder endpoints)
    {
        Get(endpoints, OperatorsApi.Nodes, http => AnswerAsync(http, new NodeList(nodes.List()), OperatorsJson.Default.NodeList));
        Get(endpoints, "/debug/nodes", http => AnswerAsync(http, new NodeList(nodes.List()), OperatorsJson.Default.NodeList));
        Get(endpoints, OperatorsApi.Services, http => AnswerAsync(http, ServiceReport.Of(store.Current), OperatorsJson.Default.ServiceList));
        Get(endpoints, OperatorsApi.Config, ConfigAsync);
        Get(endpoints, "/debug/config", ConfigAsync);
        Get(endpoints, OperatorsApi.Stat, http => WindowAsync(http, seconds =>
            AnswerAsync(http, ServiceReport.Stat(store.Current, traffic, seconds), OperatorsJson.Default.StatList)));
        Get(endpoints, OperatorsApi.Edges, http => WindowAsync(http, seconds =>
            AnswerAsync(http, new EdgeList(seconds, traffic.Edges(seconds)), OperatorsJson.Default.EdgeList)));
        endpoints.MapPost(OperatorsApi.AuthorizationCheck, (RequestDelegate)CheckAuthorizationAsync);
        Get(endpoints, "/debug/world", world.WriteAsync);
        endpoints.MapFallback("{**path}", (RequestDelegate)(http => RefuseAsync(http, StatusCodes.Status404NotFound,
            $"nothing is served here; there are GET {OperatorsApi.Nodes} {OperatorsApi.Services} {OperatorsApi.Config}?node= {OperatorsApi.Stat} {OperatorsApi.Edges} /debug/world /debug/nodes /debug/config?node=")));
    }

    /// <summary>Middleware: nothing is changed here, so nothing but GET and HEAD is taken.</summary>
    public static Task ReadsOnlyAsync(HttpContext http, RequestDelegate next)
    {
        if (HttpMethods.IsGet(http.Request.Method) || HttpMethods.IsHead(http.Request.Method)) return next(http);
        if (HttpMethods.IsPost(http.Request.Method) && http.Request.Path == OperatorsApi.AuthorizationCheck) return next(http);
        http.Response.Headers.Allow = "GET, HEAD";
        return RefuseAsync(http, StatusCodes.Status405MethodNotAllowed, "the operators' API is read with GET");
    }

    private static void Get(IEndpointRouteBuilder endpoints, string path, RequestDelegate answer) => endpoints.MapMethods(path, ["GET", "HEAD"], answer);

    private Task ConfigAsync(HttpContext http)
    {
        var id = http.Request.Query["node"].ToString();
        if (id.Length == 0) return RefuseAsync(http, StatusCodes.Status400BadRequest, "say which node: ?node=ID, a node id, a workload id or a service");
        if (nodes.Find(id) is not [var (node, status), ..])
            return RefuseAsync(http, StatusCodes.Status404NotFound, $"no node '{id}' is connected; GET {OperatorsApi.Nodes} lists those that are");
        return feed.Current is { } config
            ? AnswerAsync(http, ConfigReport.Of(status, config.Compiled.For(node)), OperatorsJson.Default.ConfigDump)
            : RefuseAsync(http, StatusCodes.Status503ServiceUnavailable, "there is no configuration yet: the first world is not complete");
    }

    private async Task CheckAuthorizationAsync(HttpContext http)
    {
        AuthorizationQuestion? question;
        try
        {
            question = await JsonSerializer.DeserializeAsync(http.Request.Body, OperatorsJson.Default.AuthorizationQuestion, http.RequestAborted);
        }
        catch (JsonException e)
        {
            await RefuseAsync(http, StatusCodes.Status400BadRequest, $"the question is not JSON as it should be: {e.Message}");
            return;
        }

        var error = "the question is empty";
        if (feed.Current is not { } config) await RefuseAsync(http, StatusCodes.Status503ServiceUnavailable, "there is no configuration yet: the first world is not complete");
        else if (question is not null && AuthorizationCheck.Answer(config.Compiled, question, out error) is { } answer)
            await AnswerAsync(http, answer, OperatorsJson.Default.AuthorizationAnswer);
        else await RefuseAsync(http, StatusCodes.Status400BadRequest, error);
    }

    private static Task WindowAsync(HttpContext http, Func<int, Task> answer)
    {
        var text = http.Request.Query["window"].ToString();
        if (text.Length == 0) return answer((int)DefaultWindow.TotalSeconds);
        var scale = text[^1] switch { 's' => 1, 'm' => 60, _ => 0 };
        if (scale == 0 || !double.TryParse(text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) || number * scale is < 1 or > 600)
            return RefuseAsync(http, StatusCodes.Status400BadRequest, $"window: '{text}' is not between 1s and 10m");
        // A minute is kept; the answer says which window it is of.
        return answer((int)Math.Min(number * scale, TrafficWindow.Longest.TotalSeconds));
    }

    private static Task AnswerAsync<T>(HttpContext http, T value, JsonTypeInfo<T> type)
    {
        http.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(http.Response.Body, value, type, http.RequestAborted);
    }

    private static Task RefuseAsync(HttpContext http, int status, string error)
    {
        http.Response.StatusCode = status;
        return AnswerAsync(http, new OperatorsError(error), OperatorsJson.Default.OperatorsError);
    }
}

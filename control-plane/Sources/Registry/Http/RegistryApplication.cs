using System.Net;
using Mesh.ControlPlane.Sources.Registry.Persistence;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>
/// What Kestrel runs for each request: finds the endpoint, checks what all requests have in common, answers refusals in words.
/// Thread safe; one for the registry.
/// </summary>
internal sealed class RegistryApplication(EndpointTable endpoints, string datacenter, ILogger log) : IHttpApplication<HttpContext>
{
    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    public async Task ProcessRequestAsync(HttpContext context)
    {
        var path = PathOf(context);
        var endpoint = endpoints.Find(path, out var name);
        var request = new RegistryRequest(context, name);
        try
        {
            await AnswerAsync(context, endpoint, request, path);
        }
        catch (Refusal refusal)
        {
            await request.AnswerTextAsync(refusal.Status, refusal.Message);
        }
        catch (RegistryDataException e)
        {
            await request.AnswerTextAsync(500, e.Message);
        }
        catch (BadHttpRequestException e)
        {
            await request.AnswerTextAsync(e.StatusCode, e.Message);
        }
        catch (Exception e) when (context.RequestAborted.IsCancellationRequested)
        {
            log.LogDebug("client left path={Path} error={Error}", path, e.Message);
        }
    }

    private Task AnswerAsync(HttpContext context, Endpoint? endpoint, RegistryRequest request, string path)
    {
        if (!IsLocal(context.Request.Host))
            throw new Refusal(403, $"this registry has no access control and answers requests to loopback names only, not to \"{context.Request.Host}\"");
        if (endpoint is null)
        {
            throw new Refusal(404, path.StartsWith("/v1/", StringComparison.Ordinal)
                ? "Invalid URL path: not a recognized HTTP API endpoint"
                : "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'");
        }

        if (request.Method == "OPTIONS" || !endpoint.Allows(request.Method)) return AnswerMethodsAsync(endpoint, request);
        RequireServedOptions(context.Request.Query);
        return endpoint.Answer(request);
    }

    private static Task AnswerMethodsAsync(Endpoint endpoint, RegistryRequest request)
    {
        request.SetHeader("Allow", $"OPTIONS,{endpoint.Methods}");
        if (request.Method != "OPTIONS") return request.AnswerTextAsync(405, $"method {request.Method} not allowed");
        request.AnswerEmpty(200);
        return Task.CompletedTask;
    }

    private void RequireServedOptions(IQueryCollection query)
    {
        if (query.TryGetValue("dc", out var dc) && dc.ToString() is { Length: > 0 } named && named != datacenter) throw new Refusal(500, "No path to datacenter");
        if (query.ContainsKey("ns")) throw new Refusal(400, "Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature");
        if (query.ContainsKey("partition")) throw new Refusal(400, "Invalid query parameter: \"partition\" - Partitions are a Consul Enterprise feature");
        if (!string.IsNullOrEmpty(query["filter"])) throw Refusal.NotServed("the option \"filter\"");
        if (!string.IsNullOrEmpty(query["peer"])) throw Refusal.NotServed("the option \"peer\"");
    }

    /// <summary>The path as it was sent, decoded once: a key may contain what looks like an encoded slash.</summary>
    private static string PathOf(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        if (!target.StartsWith('/')) return context.Request.Path.Value ?? "";
        var end = target.IndexOf('?', StringComparison.Ordinal);
        return Uri.UnescapeDataString(end < 0 ? target : target[..end]);
    }

    /// <summary>A page in somebody's browser must not reach the registry through a name that it made point to loopback.</summary>
    private static bool IsLocal(HostString host)
    {
        var name = host.Host.Trim('[', ']');
        return name.Length == 0 || name.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(name, out var ip) && IPAddress.IsLoopback(ip));
    }
}

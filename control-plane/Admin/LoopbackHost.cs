using System.Net;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Admin;

/// <summary>
/// Refuses requests whose Host is no name of this machine's loopback: a web page that makes a browser resolve its own name to
/// 127.0.0.1 (DNS rebinding) would else read the operators' API. Stateless.
/// </summary>
internal static class LoopbackHost
{
    /// <summary>Middleware: answers 421 or passes on.</summary>
    public static Task CheckAsync(HttpContext http, RequestDelegate next)
    {
        if (IsLoopback(http.Request.Host.Host)) return next(http);
        http.Response.StatusCode = StatusCodes.Status421MisdirectedRequest;
        return http.Response.WriteAsync("this port answers to localhost, 127.0.0.1 and [::1] only\n", http.RequestAborted);
    }

    private static bool IsLoopback(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
}

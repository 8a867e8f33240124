using System.Net;
using Mesh.Api.Grpc;
using Mesh.Api.Identity;
using Mesh.ControlPlane.Model;
using Microsoft.AspNetCore.Builder;

namespace Mesh.ControlPlane.Tests;

/// <summary>Stands for the TLS handshake: a header of the test says who the caller proved to be.</summary>
internal static class TestCaller
{
    private const string Header = "test-caller";
    private const string SeenAtHeader = "test-seen-at";

    /// <summary>The call of an identity, <c>shop/cart</c>; none for null. It comes from <paramref name="seenAt"/>, where that is given.</summary>
    public static CallOptions As(string? account, string? seenAt = null) =>
        account is null ? default : new CallOptions { Headers = [new(Header, Id(account)), .. seenAt is null ? Array.Empty<KeyValuePair<string, string>>() : [new(SeenAtHeader, seenAt)]] };

    /// <summary>The whole ID of an account.</summary>
    public static string Id(string account) => $"spiffe://cluster.local/ns/{account.Replace("/", "/sa/", StringComparison.Ordinal)}";

    /// <summary>Makes the header the proved caller.</summary>
    public static void Use(IApplicationBuilder application) => application.Use((http, next) =>
    {
        if (http.Request.Headers[Header] is [{ Length: > 0 } id]) http.Features.Set(new Caller(SpiffeId.Parse(id)));
        if (http.Request.Headers[SeenAtHeader] is [{ Length: > 0 } address]) http.Connection.RemoteIpAddress = IPAddress.Parse(address);
        return next(http);
    });
}

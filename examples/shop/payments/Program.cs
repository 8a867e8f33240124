using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Shop.Grpc;

// payments: a gRPC service over plaintext HTTP/2; listens on PORT of LISTEN (loopback) and says which VERSION it is.
var version = Environment.GetEnvironmentVariable("VERSION") ?? "v1";
var port = int.Parse(Environment.GetEnvironmentVariable("PORT") ?? "9090", System.Globalization.CultureInfo.InvariantCulture);
var address = IPAddress.Parse(Environment.GetEnvironmentVariable("LISTEN") ?? "127.0.0.1");
var builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(address, port, listen => listen.Protocols = HttpProtocols.Http2));
var app = builder.Build();

app.MapPost("/shop.Payments/Quote", (HttpContext http) => Unary.ServeAsync(
    http, QuoteRequest.Parser, request => new QuoteReply { FeeCents = request.Cents / 100, Version = version }));

app.Run();

using Shop.Grpc;

// cart: what a user has picked, and the fee payments asks for. HTTP in; gRPC out to PAYMENTS_ADDRESS. Listens on PORT of LISTEN (loopback).
var builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.UseUrls($"http://{Environment.GetEnvironmentVariable("LISTEN") ?? "127.0.0.1"}:{Environment.GetEnvironmentVariable("PORT") ?? "8082"}");
var app = builder.Build();

var paymentsAddress = Environment.GetEnvironmentVariable("PAYMENTS_ADDRESS") ?? "127.0.0.1:9090";
// .NET sends no HTTP/2 through HTTP_PROXY, so payments has an address of its own.
var payments = new HttpClient(new SocketsHttpHandler { UseProxy = false })
{
    BaseAddress = new Uri($"http://{paymentsAddress}/"),
    Timeout = TimeSpan.FromSeconds(5),
};

app.MapGet("/cart/{user}", async (string user, CancellationToken cancellation) =>
{
    var request = new QuoteRequest { User = user, Cents = 1250 };
    var quote = await Unary.CallAsync(payments, "/shop.Payments/Quote", request, QuoteReply.Parser, cancellation);
    return new { service = "cart", user, cents = request.Cents, feeCents = quote.FeeCents, payments = quote.Version };
});

app.Run();

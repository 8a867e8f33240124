using System.Text.Json;

// storefront: the page. Asks catalog and cart by name; HTTP_PROXY or the network decides who carries it. Listens on PORT of LISTEN (loopback).
var builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.UseUrls($"http://{Environment.GetEnvironmentVariable("LISTEN") ?? "127.0.0.1"}:{Environment.GetEnvironmentVariable("PORT") ?? "8080"}");
var app = builder.Build();

var backends = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };

app.MapGet("/", async (CancellationToken cancellation) =>
{
    var catalog = backends.GetFromJsonAsync<JsonElement>("http://catalog/items", cancellation);
    var cart = backends.GetFromJsonAsync<JsonElement>("http://cart/cart/alice", cancellation);
    return new { service = "storefront", catalog = await catalog, cart = await cart };
});

app.Run();

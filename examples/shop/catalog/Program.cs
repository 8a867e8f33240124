// catalog: what can be bought. Plain HTTP; listens on PORT of LISTEN (loopback).
var builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.UseUrls($"http://{Environment.GetEnvironmentVariable("LISTEN") ?? "127.0.0.1"}:{Environment.GetEnvironmentVariable("PORT") ?? "8081"}");
var app = builder.Build();

var instance = Environment.GetEnvironmentVariable("INSTANCE") ?? "catalog";
string[] items = ["apples", "bread", "coffee"];

app.MapGet("/items", () => new { service = "catalog", instance, items });

app.Run();

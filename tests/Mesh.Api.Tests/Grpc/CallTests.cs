using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;

namespace Mesh.Api.Tests.Grpc;

/// <summary>Calls of all four kinds between our client and our server over real sockets.</summary>
public sealed class CallTests : IAsyncLifetime
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);
    private readonly CancellationTokenSource _bound = new(Bound);
    private EchoServer _server = null!;
    private GrpcChannel _channel = null!;

    private CancellationToken Bounded => _bound.Token;

    public async Task InitializeAsync()
    {
        _server = await EchoServer.StartAsync();
        _channel = new GrpcChannel(_server.Address);
    }

    public async Task DisposeAsync()
    {
        _channel.Dispose();
        await _server.DisposeAsync();
        _bound.Dispose();
    }

    [Theory]
    [InlineData("")]
    [InlineData("hello")]
    [InlineData("žluťoučký kůň")]
    public async Task Unary(string text) => Assert.Equal(text, (await SayAsync(text)).Value);

    [Fact]
    public async Task Unary_with_a_message_just_below_the_limit()
    {
        var text = new string('x', (4 * 1024 * 1024) - 16);

        Assert.Equal(text, (await SayAsync(text)).Value);
    }

    [Fact]
    public async Task Server_streaming()
    {
        var counted = await _channel.ServerStreamAsync(EchoServer.Count, Text("1000"), default, Bounded).ToListAsync();

        Assert.Equal(Enumerable.Range(1, 1000).Select(i => i.ToString()), counted.Select(m => m.Value));
    }

    [Fact]
    public async Task Client_streaming()
    {
        await using var call = _channel.Open(EchoServer.Join, default, Bounded);
        foreach (var word in new[] { "a", "b", "c" })
            await call.WriteAsync(Text(word), Bounded);
        call.Complete();

        Assert.Equal("a,b,c", (await call.ReadOnlyAsync(Bounded)).Value);
    }

    [Fact]
    public async Task Bidirectional_streaming_alternates_and_half_close_lets_the_server_finish()
    {
        await using var call = _channel.Open(EchoServer.Chat, default, Bounded);
        for (var i = 0; i < 50; i++)
        {
            await call.WriteAsync(Text($"m{i}"), Bounded);
            Assert.Equal($"re: m{i}", (await call.ReadAsync(Bounded))?.Value);
        }

        call.Complete();

        Assert.Equal("bye", (await call.ReadAsync(Bounded))?.Value);
        Assert.Null(await call.ReadAsync(Bounded));
        Assert.Null(await call.ReadAsync(Bounded));
    }

    [Fact]
    public async Task Many_streams_share_the_channel()
    {
        var calls = Enumerable.Range(0, 250).Select(async i =>
        {
            await using var call = _channel.Open(EchoServer.Chat, default, Bounded);
            await call.WriteAsync(Text($"m{i}"), Bounded);
            Assert.Equal($"re: m{i}", (await call.ReadAsync(Bounded))?.Value);
        });

        await Task.WhenAll(calls);
    }

    [Theory]
    [InlineData("fail:NotFound:no such thing", GrpcStatusCode.NotFound, "no such thing")]
    [InlineData("fail:Unauthenticated:", GrpcStatusCode.Unauthenticated, "")]
    [InlineData("fail:DataLoss:100 % \r\n žluť", GrpcStatusCode.DataLoss, "100 % \r\n žluť")]
    [InlineData("throw", GrpcStatusCode.Unknown, "the server failed; its log says why")]
    public async Task A_failure_before_the_first_message_comes_as_trailers_only(string request, GrpcStatusCode code, string message)
    {
        var e = await Assert.ThrowsAsync<GrpcException>(() => SayAsync(request));

        Assert.Equal(new GrpcStatus(code, message), e.Status);
    }

    [Fact]
    public async Task A_failure_after_messages_comes_in_the_trailers()
    {
        var options = new CallOptions { Headers = [new("x-fail", "1")] };
        List<string> seen = [];

        var e = await Assert.ThrowsAsync<GrpcException>(async () =>
        {
            await foreach (var m in _channel.ServerStreamAsync(EchoServer.Count, Text("3"), options, Bounded))
                seen.Add(m.Value);
        });

        Assert.Equal(new GrpcStatus(GrpcStatusCode.Aborted, "after the messages"), e.Status);
        Assert.Equal(["1", "2", "3"], seen);
    }

    [Fact]
    public async Task Status_of_a_refused_stream_reaches_the_reader()
    {
        await using var call = _channel.Open(EchoServer.Chat, default, Bounded);
        await call.WriteAsync(Text("refuse"), Bounded);

        var e = await Assert.ThrowsAsync<GrpcException>(() => call.ReadAsync(Bounded).AsTask());

        Assert.Equal(new GrpcStatus(GrpcStatusCode.FailedPrecondition, "not now"), e.Status);
        await Assert.ThrowsAsync<GrpcException>(() => WriteUntilItFailsAsync(call));
    }

    [Fact]
    public async Task Unknown_method_is_unimplemented()
    {
        var e = await Assert.ThrowsAsync<GrpcException>(() => _channel.UnaryAsync(EchoServer.Missing, Text(""), default, Bounded));

        Assert.Equal(GrpcStatusCode.Unimplemented, e.Code);
    }

    [Fact]
    public async Task Too_large_a_message_is_refused_by_the_server()
    {
        var e = await Assert.ThrowsAsync<GrpcException>(() => SayAsync(new string('x', (4 * 1024 * 1024) + 1)));

        Assert.Equal(GrpcStatusCode.ResourceExhausted, e.Code);
        Assert.Equal("still here", (await SayAsync("still here")).Value);
    }

    [Fact]
    public async Task Too_large_a_message_is_refused_by_the_client()
    {
        using var small = new GrpcChannel(_server.Address, new() { MaxReceiveMessageSize = 10 });

        var e = await Assert.ThrowsAsync<GrpcException>(() => small.UnaryAsync(EchoServer.Say, Text("more than ten bytes"), default, Bounded));

        Assert.Equal(GrpcStatusCode.ResourceExhausted, e.Code);
    }

    [Fact]
    public async Task Deadline_ends_the_call_on_both_ends()
    {
        // The time is the handler's: connecting is done before.
        await _channel.UnaryAsync(EchoServer.Say, Text("x"), default, Bounded);
        var options = new CallOptions { Timeout = TimeSpan.FromSeconds(1) };

        var e = await Assert.ThrowsAsync<GrpcException>(() => _channel.UnaryAsync(EchoServer.Say, Text("wait"), options, Bounded));

        Assert.Equal(GrpcStatusCode.DeadlineExceeded, e.Code);
        await _server.Cancelled.Task.WaitAsync(Bound);
    }

    [Fact]
    public async Task Server_answers_at_the_deadline_though_the_handler_does_not_heed_it()
    {
        // As metadata, so that only the server knows of the deadline.
        var options = new CallOptions { Headers = [new("grpc-timeout", "50m")] };

        var e = await Assert.ThrowsAsync<GrpcException>(() => _channel.UnaryAsync(EchoServer.Say, Text("stubborn"), options, Bounded));

        Assert.Equal(GrpcStatusCode.DeadlineExceeded, e.Code);
    }

    [Fact]
    public async Task Client_gives_up_at_the_deadline_though_nobody_answers()
    {
        using var silent = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        silent.Start();
        using var channel = new GrpcChannel(silent.LocalEndpoint.ToString()!);
        var options = new CallOptions { Timeout = TimeSpan.FromMilliseconds(100) };

        var e = await Assert.ThrowsAsync<GrpcException>(() => channel.UnaryAsync(EchoServer.Say, Text(""), options, Bounded));

        Assert.Equal(GrpcStatusCode.DeadlineExceeded, e.Code);
    }

    [Theory]
    [InlineData("1x")]
    [InlineData("m")]
    [InlineData("123456789m")]
    public async Task Malformed_deadline_is_refused(string timeout)
    {
        var options = new CallOptions { Headers = [new("grpc-timeout", timeout)] };

        var e = await Assert.ThrowsAsync<GrpcException>(() => _channel.UnaryAsync(EchoServer.Say, Text("x"), options, Bounded));

        Assert.Equal(GrpcStatusCode.Internal, e.Code);
        Assert.Contains(timeout, e.Status.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancellation_by_the_client_reaches_the_handler()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Bounded);
        var call = _channel.UnaryAsync(EchoServer.Say, Text("wait"), default, cancel.Token);
        await _server.Waiting.Task.WaitAsync(Bound);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        await _server.Cancelled.Task.WaitAsync(Bound);
    }

    [Fact]
    public async Task Disposing_an_open_call_cancels_it_and_the_channel_goes_on()
    {
        var call = _channel.Open(EchoServer.Say, default, Bounded);
        await call.WriteAsync(Text("wait"), Bounded);
        call.Complete();
        await _server.Waiting.Task.WaitAsync(Bound);

        await call.DisposeAsync();

        await _server.Cancelled.Task.WaitAsync(Bound);
        Assert.Equal("x", (await SayAsync("x")).Value);
    }

    [Fact]
    public async Task Metadata_reaches_the_handler()
    {
        var options = new CallOptions { Headers = [new("x-test", "of the caller")] };

        Assert.Equal("of the caller", (await _channel.UnaryAsync(EchoServer.Say, Text("metadata"), options, Bounded)).Value);
    }

    [Fact]
    public async Task Nobody_listening_is_unavailable()
    {
        var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        var address = listener.LocalEndpoint.ToString()!;
        listener.Stop();
        using var channel = new GrpcChannel(address);

        var unary = await Assert.ThrowsAsync<GrpcException>(() => channel.UnaryAsync(EchoServer.Say, Text(""), default, Bounded));
        await using var stream = channel.Open(EchoServer.Chat, default, Bounded);
        var write = await Assert.ThrowsAsync<GrpcException>(() => stream.WriteAsync(Text(""), Bounded));

        Assert.Equal(GrpcStatusCode.Unavailable, unary.Code);
        Assert.Equal(GrpcStatusCode.Unavailable, write.Code);
    }

    [Fact]
    public async Task Server_that_goes_away_ends_open_streams_with_unavailable()
    {
        await using var call = _channel.Open(EchoServer.Chat, default, Bounded);
        await call.WriteAsync(Text("a"), Bounded);
        Assert.NotNull(await call.ReadAsync(Bounded));
        var read = call.ReadAsync(Bounded).AsTask();

        await _server.DisposeAsync();

        var e = await Assert.ThrowsAsync<GrpcException>(() => read);
        Assert.True(e.Code is GrpcStatusCode.Unavailable or GrpcStatusCode.Internal, e.ToString());
    }

    [Fact]
    public async Task Unix_socket()
    {
        var directory = Directory.CreateTempSubdirectory("mesh");
        try
        {
            await using var server = await EchoServer.StartAsync(Path.Combine(directory.FullName, "s.sock"));
            using var channel = new GrpcChannel(server.Address);

            Assert.Equal("over unix", (await channel.UnaryAsync(EchoServer.Say, Text("over unix"), default, Bounded)).Value);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private Task<StringValue> SayAsync(string text) => _channel.UnaryAsync(EchoServer.Say, Text(text), default, Bounded);

    private async Task WriteUntilItFailsAsync(GrpcCall<StringValue, StringValue> call)
    {
        while (!Bounded.IsCancellationRequested)
            await call.WriteAsync(Text("x"), Bounded);
    }

    private static StringValue Text(string text) => new() { Value = text };
}

using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Listening;

/// <summary>What became of dialling a server whose client was silent.</summary>
internal enum ServerSaid
{
    /// <summary>It cannot be reached, or may not be.</summary>
    Unreached,

    /// <summary>What no server of HTTP says first.</summary>
    Greeting,

    /// <summary>It has ended, perhaps with what servers of HTTP say unasked.</summary>
    End,

    /// <summary>It said what servers of HTTP say unasked, and more of it than is kept.</summary>
    Nothing,
}

/// <summary>
/// The server's half of a race: dials while the client is silent, and hears whether the server begins. Owned by the acceptor's task for the
/// client's connection.
/// </summary>
/// <param name="dial">Makes the connection.</param>
/// <param name="reached">Called when it is made.</param>
/// <param name="unsure">Called when the server has begun and it is not clear with what.</param>
internal sealed class ServerLook(Func<CancellationToken, Task<DialledAhead?>> dial, Action reached, Action unsure)
{
    private readonly CancellationTokenSource stop = new();
    private Task<DialledAhead?> dialling = Task.FromResult<DialledAhead?>(null);
    private volatile bool hasEnded;

    /// <summary>True when the server has closed the connection.</summary>
    public bool HasEnded => hasEnded;

    /// <summary>Hears the server until it is clear what it is.</summary>
    public async Task<ServerSaid> RunAsync()
    {
        if (await (dialling = dial(stop.Token)) is not { } ahead) return ServerSaid.Unreached;
        reached();
        try
        {
            while (!ahead.Transport.IsFull)
            {
                var count = await ahead.Transport.HearAsync();
                if (count < 0) return ServerSaid.Nothing;
                if (count == 0) break;
                var greeting = ServerGreeting.Look(ahead.Transport.Heard);
                if (greeting == Greeting.Other) return ServerSaid.Greeting;
                if (greeting == Greeting.NeedMore) unsure();
            }

            if (ahead.Transport.IsFull) return ServerSaid.Nothing;
        }
        catch (Exception e) when (Transports.IsBreak(e))
        {
            // Broken, or let go of here.
        }

        hasEnded = true;
        return ServerSaid.End;
    }

    /// <summary>The connection, once it is made; null when it is not, or has ended already.</summary>
    public async Task<DialledAhead?> UsableAsync()
    {
        if (await dialling is not { } ahead) return null;
        if (!hasEnded) return ahead;
        ahead.Dispose();
        return null;
    }

    /// <summary>The connection as it is, with what the server said and its end.</summary>
    public Task<DialledAhead?> AsItIsAsync() => dialling;

    /// <summary>Lets go of the connection, now or as soon as it is made. Ends with connecting, at most.</summary>
    public async Task LeaveAsync()
    {
        await stop.CancelAsync();
        try
        {
            (await dialling)?.Dispose();
        }
        catch (OperationCanceledException)
        {
            // It was not made yet, and now it is not made.
        }
    }
}

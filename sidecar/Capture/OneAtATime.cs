using System.Diagnostics;
using System.Net.Sockets;

namespace Mesh.Sidecar.Capture;

/// <summary>
/// Lets one process at a time change or check the rules of a network namespace, by an abstract socket: its name belongs to the namespace, and is free
/// again when the process ends, however it ends. Anybody may take that name, so it is waited for, and not for ever. Owned by the command.
/// </summary>
internal sealed class OneAtATime : IDisposable
{
    private const string Name = "\0mesh-capture";
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(15);
    private readonly Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    private OneAtATime()
    {
    }

    /// <summary>Waits until nobody else is at work; goes on with a warning when somebody does not end.</summary>
    public static OneAtATime Take(Action<string> warn)
    {
        var taken = new OneAtATime();
        var since = Stopwatch.GetTimestamp();
        while (!taken.Bind())
        {
            if (Stopwatch.GetElapsedTime(since) > Longest)
            {
                warn($"another \"mesh-sidecar capture\" has been at work here for {Longest.TotalSeconds:0} s; not waiting any longer");
                break;
            }

            Thread.Sleep(Pause);
        }

        return taken;
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    private bool Bind()
    {
        try
        {
            socket.Bind(new UnixDomainSocketEndPoint(Name));
            return true;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            return false;
        }
    }
}

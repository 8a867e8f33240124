using System.Threading.Channels;

namespace Mesh.ControlPlane.Sources;

/// <summary>Wakes one loop; signals that come while it works are one signal. Thread safe.</summary>
internal sealed class Signal
{
    private readonly Channel<bool> channel =
        Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Wakes the loop, now or when it next waits.</summary>
    public void Set() => channel.Writer.TryWrite(true);

    /// <summary>Waits for a signal, or until the time is over; false then.</summary>
    public async Task<bool> WaitAsync(TimeSpan most, TimeProvider time, CancellationToken stop)
    {
        try
        {
            // Waits without taking: a wait given up must not take the next signal with it.
            await channel.Reader.WaitToReadAsync(stop).AsTask().WaitAsync(most, time, stop);
            channel.Reader.TryRead(out _);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }
}

using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace Mesh.Sidecar.Config.Builders;

/// <summary>
/// A place in a resource, and where its errors go: <c>RouteConfiguration outbound: virtual_hosts[2].domains[0]</c>.
/// The text is made only when there is an error. One thread.
/// </summary>
internal sealed class Field
{
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(49);
    private readonly ConfigErrors errors;
    private readonly Field? parent;
    private readonly string name;
    private readonly int index;

    private Field(ConfigErrors errors, Field? parent, string name, int index)
    {
        this.errors = errors;
        this.parent = parent;
        this.name = name;
        this.index = index;
    }

    /// <summary>A whole resource.</summary>
    public static Field Of(ConfigErrors errors, string resource) => new(errors, null, resource, -1);

    /// <summary>A field of this message.</summary>
    public Field At(string field) => new(errors, this, field, -1);

    /// <summary>An element of a repeated field.</summary>
    public Field At(string field, int position) => new(errors, this, field, position);

    /// <summary>True for resources of an operator's file: those may name files and hold keys.</summary>
    public bool IsOfFile => errors.OfFile;

    /// <summary>Says what is wrong here.</summary>
    public void Error(string text) => errors.Add($"{this}: {text}");

    /// <summary>Says what is wrong with a field of this message.</summary>
    public void Error(string field, string text) => At(field).Error(text);

    /// <summary>Refuses a feature that would change what happens to traffic and is not there.</summary>
    public void Unsupported(bool present, string field)
    {
        if (present) At(field).Error("is not supported by this sidecar yet");
    }

    /// <summary>A duration of zero or more, of 49 days where more is meant: timers take no longer one. <paramref name="fallback"/> when absent.</summary>
    public TimeSpan Duration(Duration? value, string field, TimeSpan fallback)
    {
        if (value is null) return Bounded(fallback);
        try
        {
            var span = value.ToTimeSpan();
            if (span >= TimeSpan.Zero && span <= TimeSpan.FromDays(36500)) return Bounded(span);
        }
        catch (Exception e) when (e is InvalidOperationException or OverflowException)
        {
            // Said below, with the value.
        }

        At(field).Error(string.Create(CultureInfo.InvariantCulture, $"{value.Seconds}s {value.Nanos}ns is not a duration from 0 to a hundred years"));
        return fallback;
    }

    private static TimeSpan Bounded(TimeSpan span) => span < LongestTimer ? span : LongestTimer;

    /// <summary>The message inside an Any, or null with an error when its bytes are not one.</summary>
    public T? Unpack<T>(Any any, MessageParser<T> parser)
        where T : class, IMessage<T>
    {
        try
        {
            return parser.ParseFrom(any.Value);
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or InvalidOperationException or ArgumentException)
        {
            // The second and third are the parser's own, for wrappers and strings cut off in the middle.
            Error($"the bytes are not a {any.TypeUrl}: {e.Message}");
            return null;
        }
    }

    /// <summary>
    /// As <see cref="Unpack{T}"/>, and refuses fields this program does not know: for messages about security, where skipping a field would
    /// let in what it was there to keep out. A message that keeps unknown fields is larger than one that drops them.
    /// </summary>
    public T? UnpackStrictly<T>(Any any, MessageParser<T> parser)
        where T : class, IMessage<T>
    {
        if (Unpack(any, parser) is not { } message) return null;
        if (parser.WithDiscardUnknownFields(true).ParseFrom(any.Value).CalculateSize() == message.CalculateSize()) return message;
        Error($"the {any.TypeUrl} holds a field this sidecar does not know; refused, since it decides who may do what");
        return null;
    }

    /// <summary>The place, with all its parents.</summary>
    public override string ToString()
    {
        var self = index < 0 ? name : string.Create(CultureInfo.InvariantCulture, $"{name}[{index}]");
        if (parent is null) return self;
        return parent.parent is null ? $"{parent}: {self}" : $"{parent}.{self}";
    }
}

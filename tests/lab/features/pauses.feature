Feature: A process sleeps for longer than every lease, and wakes up
  Scenario Outline: <process> sleeps
    Given a cluster of three machines with servers on each of them
    When <process> of a machine sleeps for <seconds> seconds
    Then the API answered with errors for at most 15 seconds
    And every server runs, and none was started anew
    And every port that was made meanwhile is there

    @quick
    Examples: quick
      | process         | seconds |
      | stackling-agent | 40      |

    Examples: all
      | process            | seconds |
      | stackling-engine   | 75      |
      | stackling-api      | 75      |
      | mariadbd           | 75      |
      | libvirtd           | 75      |
